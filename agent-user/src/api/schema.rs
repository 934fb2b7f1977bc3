//! The schema document, docs/api-schema.json, which is made from the types.

use std::{borrow::Cow, env, fs};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Value, json};

use super::{
    Attached, Event, Failure, Member, Page, SCHEMA, Session, SessionReport, Status, Trusted,
    Vocabulary, Why, Word,
    doctor::HostReport,
    grant::{
        GrantCheck, GrantDiff, GrantExplanation, GrantGraph, GrantList, GrantShown, GrantTests,
        MoveExplanation,
    },
    routes::{self, Asking, Get, Named, Plain, Post, Route, for_each_route},
};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api-schema.json");

impl<T: Vocabulary> JsonSchema for Word<T> {
    fn schema_name() -> Cow<'static, str> {
        T::NAME.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<_> = T::WORDS.iter().map(|(_, word)| *word).collect();
        json_schema!({
            "description": "One of these words; another version may have others.",
            "anyOf": [{ "enum": words }, { "type": "string" }],
        })
    }
}

/// By which method something is asked, and what is sent.
trait Method {
    const NAME: &'static str;
    fn body(generator: &mut SchemaGenerator) -> Option<Schema>;
}

impl Method for Get {
    const NAME: &'static str = "GET";
    fn body(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
}

impl<B: JsonSchema> Method for Post<B> {
    const NAME: &'static str = "POST";
    fn body(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<B>())
    }
}

/// What narrows an answer down.
trait Scope {
    fn query(generator: &mut SchemaGenerator) -> Option<Schema>;
}

impl Scope for Plain {
    fn query(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
}

impl Scope for Named {
    fn query(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
}

impl<Q: JsonSchema> Scope for Asking<Q> {
    fn query(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<Q>())
    }
}

fn route<M: Method, K: Scope, A: JsonSchema>(
    generator: &mut SchemaGenerator,
    route: &Route<M, K, A>,
) -> Value {
    json!({
        "method": M::NAME,
        "path": route.pattern(),
        "query": K::query(generator),
        "body": M::body(generator),
        "answer": generator.subschema_for::<A>(),
    })
}

fn document() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let of = &mut generator;
    macro_rules! described {
        ($($(#[$doc:meta])* $name:ident: $type:ty = $pattern:literal;)*) => {
            [$(route(of, &routes::$name)),*]
        };
    }
    let routes = for_each_route!(described);
    let commands = json!({
        "ps": of.subschema_for::<Page<Session>>(),
        "ps --tasks": of.subschema_for::<Page<Member>>(),
        "status": of.subschema_for::<Status>(),
        "status SESSION": of.subschema_for::<Session>(),
        "tag": of.subschema_for::<Session>(),
        "attach": of.subschema_for::<Page<Attached>>(),
        "detach": of.subschema_for::<Page<Attached>>(),
        "attachments": of.subschema_for::<Page<Attached>>(),
        "untag": of.subschema_for::<Session>(),
        "stop": of.subschema_for::<Session>(),
        "freeze": of.subschema_for::<Session>(),
        "events": of.subschema_for::<Page<Event>>(),
        "events --follow": of.subschema_for::<Event>(),
        "why": of.subschema_for::<Why>(),
        "report": of.subschema_for::<SessionReport>(),
        "doctor": of.subschema_for::<HostReport>(),
        "trust": of.subschema_for::<Page<Trusted>>(),
        "grant check": of.subschema_for::<Vec<GrantCheck>>(),
        "grant diff": of.subschema_for::<GrantDiff>(),
        "grant explain": of.subschema_for::<GrantExplanation>(),
        "grant explain --to": of.subschema_for::<MoveExplanation>(),
        "grant graph": of.subschema_for::<GrantGraph>(),
        "grant list": of.subschema_for::<GrantList>(),
        "grant show": of.subschema_for::<GrantShown>(),
        "grant test": of.subschema_for::<GrantTests>(),
    });
    let failure = of.subschema_for::<Failure>();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What Bailiff's daemon answers and its commands print",
        "version": SCHEMA,
        "routes": routes,
        "failure": failure,
        "commands": commands,
        "$defs": generator.take_definitions(true),
    })
}

#[test]
fn the_document_is_what_the_types_say() {
    let made = document();
    if env::var_os("RENEW").is_some() {
        let text = serde_json::to_string_pretty(&made).unwrap();
        fs::write(DOCUMENT, format!("{text}\n")).unwrap();
    }
    let found = fs::read_to_string(DOCUMENT).unwrap_or_default();
    let found: Value = serde_json::from_str(&found).unwrap_or_default();
    assert!(
        found == made,
        "docs/api-schema.json is not what the types of agent-user/src/api say. Renew it with \
         `RENEW=1 cargo test -p agent-user --lib api::schema`, and say in CHANGELOG.md what changed"
    );
}

#[test]
fn the_page_for_people_has_every_route_and_command() {
    let page = include_str!("../../../docs/api.md");
    let document = document();
    for route in document["routes"].as_array().unwrap() {
        let (method, path) = (route["method"].as_str(), route["path"].as_str());
        let row = format!("| {} | `{}` |", method.unwrap(), path.unwrap());
        assert!(page.contains(&row), "docs/api.md has no row `{row}`");
    }
    let commands = document["commands"].as_object().unwrap();
    for command in commands.keys() {
        let word = format!("`{command}`");
        assert!(page.contains(&word), "docs/api.md does not name {word}");
    }
}

/// Whoever makes a program from the document finds each type described.
#[test]
fn every_field_is_described() {
    let document = document();
    for (name, definition) in document["$defs"].as_object().unwrap() {
        assert!(definition["description"].is_string(), "{name}");
        let fields = definition["properties"].as_object().into_iter().flatten();
        for (field, of) in fields {
            assert!(of["description"].is_string(), "{name}.{field}");
        }
    }
}
