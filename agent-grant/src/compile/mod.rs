//! From a [`Grant`] to what the kernel decides by.

mod blame;
mod decide;
pub mod image;
pub mod implicit;
mod refer;
mod roots;

use agent_abi::limits::MAX_RULES;

pub(crate) use decide::Asked;
pub use image::{ImageError, ImageParams, VisibleFilesystem, VisibleMount};
pub use implicit::Protected;
pub use refer::{Refer, making_rights_lost, rights_permit_move};

use crate::{
    automaton::{Attribution, Dfa, Entry, Nfa, RuleRights, determinize, minimize},
    diagnostic::{Diagnostic, Errors, Severity},
    environment::Environment,
    model::{Effect, FilePattern, Grant, Limits, Mode, Object, Rule, RuleKind, Test},
    net::{NetTable, NetTableError},
    unix::{NameRule, NameTable},
};

/// What the compiler is told besides the grant.
#[derive(Clone, Debug, Default)]
pub struct CompileOptions {
    /// Bailiff's own files, which no rule opens.
    pub protected: Protected,
}

/// A rule, for reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// As it stands in events, ledger and image.
    pub number: u16,
    pub id: String,
    /// `file`, `net` or `unix`.
    pub kind: RuleKind,
    pub effect: Effect,
    pub reason: Option<String>,
    /// Patterns, destinations or names as written.
    pub objects: Vec<String>,
    /// "file:line:column"; `None` for rules that every session has.
    pub place: Option<String>,
}

/// A compiled grant.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub name: String,
    pub mode: Mode,
    /// [`agent_abi::Surface`] bits.
    pub surface: u32,
    /// Bit = capability number.
    pub capabilities: u64,
    /// What is handed over of the caller's environment.
    pub environment: Environment,
    pub limits: Limits,
    /// Network rules.
    pub net: NetTable,
    /// The file rules' automaton.
    pub dfa: Dfa,
    /// The refer relation between its states.
    pub refer: Refer,
    /// Whether refusals name a denying rule also where nothing is allowed anyway (by patterns that
    /// do not begin with `**`). If not, the automaton was too large for that.
    pub attributes_all: bool,
    /// What is decided about abstract Unix names.
    pub(crate) names: NameTable,
    pub(crate) source: Vec<Rule>,
    pub(crate) tests: Vec<Test>,
    pub(crate) info: Vec<RuleInfo>,
    pub(crate) asked: Asked,
}

/// Compiles a grant. Rules keep their numbers; those that every session has follow.
///
/// # Errors
/// What does not fit, with the heaviest pattern where there is one.
pub fn compile(grant: &Grant, options: &CompileOptions) -> Result<Compiled, Errors> {
    let implicit = implicit::rules(&options.protected).map_err(|why| plain_error(why, None))?;
    let source: Vec<Rule> = grant.rules.iter().cloned().chain(implicit).collect();
    if source.len() > MAX_RULES - 1 {
        let own = MAX_RULES - 1 - (source.len() - grant.rules.len());
        return Err(plain_error(
            format!("the grant has {} rules, {own} fit", grant.rules.len()),
            Some("rules with equal rights can share one table with several paths".to_owned()),
        ));
    }
    let (dfa, attributes_all) = automaton(&source)?;
    let refer = Refer::of(&dfa);
    Ok(Compiled {
        name: grant.name.clone(),
        mode: grant.mode,
        surface: grant.surface,
        capabilities: grant.capabilities,
        environment: grant.environment.clone(),
        limits: grant.limits,
        net: net_table(&source)?,
        names: name_table(&source),
        dfa,
        refer,
        attributes_all,
        info: source
            .iter()
            .enumerate()
            .map(|(n, rule)| info(n, rule))
            .collect(),
        source,
        tests: grant.tests.clone(),
        asked: Asked::default(),
    })
}

impl Compiled {
    /// Whether the grant's own rules, which come before those that every session has, begin with these.
    #[must_use]
    pub fn begins_with(&self, rules: &[Rule]) -> bool {
        self.source.starts_with(rules)
    }
}

fn plain_error(message: String, help: Option<String>) -> Errors {
    let severity = Severity::Error;
    Diagnostic {
        severity,
        message,
        location: None,
        label: String::new(),
        help,
    }
    .into()
}

fn info(number: usize, rule: &Rule) -> RuleInfo {
    RuleInfo {
        number: number as u16,
        id: rule.id.clone(),
        kind: rule.kind(),
        effect: rule.effect,
        reason: rule.reason.clone(),
        objects: rule.objects().into_iter().map(str::to_owned).collect(),
        place: rule.location.as_ref().map(ToString::to_string),
    }
}

/// The minimal automaton, and whether it attributes every refusal.
fn automaton(rules: &[Rule]) -> Result<(Dfa, bool), Errors> {
    let mut rights = Vec::with_capacity(rules.len());
    let mut entries = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        let mut of_rule = agent_abi::FileRights::NONE;
        if let Object::File {
            rights,
            paths,
            except,
        } = &rule.object
        {
            of_rule = *rights;
            for (patterns, except) in [(paths, false), (except, true)] {
                for glob in patterns.iter().flat_map(FilePattern::globs) {
                    entries.push(Entry {
                        rule: number as u16,
                        except,
                        glob,
                    });
                }
            }
        }
        rights.push(RuleRights {
            effect: rule.effect,
            rights: of_rule,
        });
    }
    let nfa = Nfa::new(rights, &entries);
    // Exact attribution costs states; a grant that only fits without it is still a good grant.
    for attribution in [Attribution::Anchored, Attribution::WhereAllowed] {
        if let Ok(dfa) = determinize(&nfa, attribution) {
            let dfa = minimize(&dfa);
            if image::fits(&dfa) {
                return Ok((dfa, attribution == Attribution::Anchored));
            }
        }
    }
    Err(blame::too_large(rules, &nfa, &entries))
}

fn net_table(rules: &[Rule]) -> Result<NetTable, Errors> {
    let net: Vec<_> = rules
        .iter()
        .enumerate()
        .filter_map(|(number, rule)| match &rule.object {
            Object::Net { to, .. } => Some((number as u16, rule.effect, to.as_slice())),
            _ => None,
        })
        .collect();
    NetTable::build(&net).map_err(|error| {
        let NetTableError::TooManyEntries { prefix, .. } = &error;
        // The last rule that speaks of the crowded network is the one to look at first.
        let last = net.iter().rev().find(|(_, _, to)| {
            to.iter()
                .flat_map(|d| &d.prefixes)
                .any(|p| p.covers(*prefix))
        });
        let rule = last.and_then(|(number, _, _)| rules.get(usize::from(*number)));
        match rule.and_then(|rule| rule.location.clone()) {
            Some(location) => Diagnostic::error(location, error.to_string()).into(),
            None => plain_error(error.to_string(), None),
        }
    })
}

fn name_table(rules: &[Rule]) -> NameTable {
    let rules = rules.iter().enumerate();
    let part = rules.filter_map(|(number, rule)| match &rule.object {
        Object::Unix { names, .. } => Some(NameRule::new(number as u16, rule.effect, names)),
        _ => None,
    });
    NameTable {
        parts: vec![part.collect()],
    }
}
