//! Blobs of BTF made by hand.

use super::*;

/// A blob in the making. Types are numbered from 1, as they are added.
struct Blob {
    types: Vec<u8>,
    strings: Vec<u8>,
}

/// A member: name, type, and the place as it stands in the blob.
type Field<'a> = (&'a str, u32, u32);

impl Blob {
    fn new() -> Self {
        Self {
            types: Vec::new(),
            strings: vec![0],
        }
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn words(mut self, words: &[u32]) -> Self {
        for word in words {
            self.types.extend(word.to_ne_bytes());
        }
        self
    }

    fn begin(mut self, name: &str, info: u32, target: u32) -> Self {
        let name = self.string(name);
        self.words(&[name, info, target])
    }

    fn int(self) -> Self {
        self.begin("int", KIND_INT << 24, 4).words(&[32])
    }

    fn compound(self, kind: u32, name: &str, fields: &[Field<'_>]) -> Self {
        let info = kind << 24 | fields.len() as u32;
        self.begin(name, info, 64).fields(fields)
    }

    /// With sizes of bit fields in the upper bytes of its members' places.
    fn with_bit_fields(self, name: &str, fields: &[Field<'_>]) -> Self {
        let info = 1 << 31 | KIND_STRUCT << 24 | fields.len() as u32;
        self.begin(name, info, 64).fields(fields)
    }

    fn fields(mut self, fields: &[Field<'_>]) -> Self {
        for (name, target, place) in fields {
            let name = self.string(name);
            self = self.words(&[name, *target, *place]);
        }
        self
    }

    fn prototype(mut self, parameters: &[&str]) -> Self {
        self = self.begin("", KIND_FUNC_PROTO << 24 | parameters.len() as u32, 0);
        for name in parameters {
            let name = self.string(name);
            self = self.words(&[name, 1]);
        }
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let mut blob = MAGIC.to_ne_bytes().to_vec();
        blob.extend([1, 0]); // version, flags
        for word in [24, 0, types, types, strings] {
            blob.extend(u32::to_ne_bytes(word));
        }
        blob.extend(&self.types);
        blob.extend(&self.strings);
        blob
    }

    fn btf(&self) -> Btf {
        Btf::parse(&self.bytes()).unwrap_or_else(|error| panic!("{error}"))
    }
}

fn refused(blob: &[u8]) -> String {
    match Btf::parse(blob) {
        Err(KernelError::Btf(reason)) => reason,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was taken"),
    }
}

/// 1 int; 2 an anonymous union of `in_union` and of the anonymous structure 3; 4 `outer`, which has it at
/// byte 8; 5 a typedef of `outer`; 6 a const of that; 7 `holder`.
fn nested() -> Blob {
    Blob::new()
        .int()
        .compound(KIND_UNION, "", &[("in_union", 1, 0), ("", 3, 0)])
        .compound(KIND_STRUCT, "", &[("first", 1, 0), ("second", 1, 32)])
        .compound(KIND_STRUCT, "outer", &[("plain", 1, 0), ("", 2, 64)])
        .begin("outer_t", KIND_TYPEDEF << 24, 4)
        .begin("", KIND_CONST << 24, 5)
        .compound(KIND_STRUCT, "holder", &[("in_holder", 6, 128)])
}

#[test]
fn members_of_anonymous_structures_and_unions_are_found_as_in_c() {
    let btf = nested().btf();
    let offset = |members: &[&str]| btf.offset_of("outer", members).unwrap();
    assert_eq!(offset(&["plain"]), 0);
    assert_eq!(offset(&["in_union"]), 8);
    assert_eq!(offset(&["first"]), 8);
    assert_eq!(offset(&["second"]), 12);
}

#[test]
fn a_way_goes_through_typedefs_and_qualifiers() {
    let btf = nested().btf();
    let offset = |members: &[&str]| btf.offset_of("holder", members);
    assert_eq!(offset(&["in_holder", "second"]).unwrap(), 28);
    assert_eq!(offset(&["in_holder.second"]).unwrap(), 28);
    assert_eq!(offset(&["elsewhere|in_holder", "plain"]).unwrap(), 16);
}

#[test]
fn what_is_not_there_is_named() {
    let btf = nested().btf();
    for (structure, members) in [
        ("nowhere", &["plain"][..]),
        ("outer", &["nothing"]),
        ("outer", &["plain", "in_an_int"]),
        ("holder", &["in_holder", "nothing"]),
    ] {
        let error = btf.offset_of(structure, members).unwrap_err();
        let name = format!("{structure}.{}", members.join("."));
        assert!(
            matches!(&error, KernelError::NoSuchField(field) if *field == name),
            "{error}"
        );
    }
}

#[test]
fn a_member_in_a_union_shares_its_place() {
    let btf = nested().btf();
    assert!(!btf.is_shared("outer", "plain"));
    assert!(btf.is_shared("outer", "in_union"));
    assert!(btf.is_shared("outer", "second"));
    // What is not known is not trusted.
    assert!(btf.is_shared("outer", "nothing"));
    assert!(btf.is_shared("nowhere", "plain"));
}

#[test]
fn a_bit_field_has_no_offset_wherever_it_begins() {
    let bits = |size: u32, at: u32| size << 24 | at;
    let fields = [
        ("whole", 1, bits(0, 32)),
        ("aligned", 1, bits(3, 64)),
        ("between", 1, bits(5, 67)),
        ("behind", 1, bits(0, 96)),
    ];
    let btf = Blob::new().int().with_bit_fields("flags", &fields).btf();
    assert_eq!(btf.offset_of("flags", &["whole"]).unwrap(), 4);
    assert_eq!(btf.offset_of("flags", &["behind"]).unwrap(), 12);
    for name in ["aligned", "between"] {
        let error = btf.offset_of("flags", &[name]).unwrap_err();
        assert!(matches!(error, KernelError::NoSuchField(_)), "{error}");
    }
    // An older form: the place alone tells.
    let fields = [("odd", 1, 3)];
    let btf = Blob::new()
        .int()
        .compound(KIND_STRUCT, "old", &fields)
        .btf();
    assert!(btf.offset_of("old", &["odd"]).is_err());
}

#[test]
fn functions_and_tracepoints_have_their_arguments() {
    let btf = Blob::new()
        .int()
        .prototype(&["task", "flags"])
        .begin("bpf_lsm_task_alloc", KIND_FUNC << 24, 2)
        .prototype(&["__data", "one", "two", "three"])
        .begin("", KIND_PTR << 24, 4)
        .begin("btf_trace_an_event", KIND_TYPEDEF << 24, 5)
        .begin("btf_trace_no_pointer", KIND_TYPEDEF << 24, 1)
        .begin("broken", KIND_FUNC << 24, 999)
        .btf();
    assert_eq!(
        btf.parameters_of("bpf_lsm_task_alloc"),
        Some(vec!["task", "flags"])
    );
    assert_eq!(btf.function("bpf_lsm_task_alloc"), Some(3));
    assert_eq!(btf.lsm_hooks(), ["task_alloc"]);
    assert_eq!(btf.parameters_of("nowhere"), None);
    assert_eq!(btf.parameters_of("broken"), None);
    assert_eq!(btf.tracepoint_arguments("an_event"), Some(3));
    assert_eq!(btf.tracepoint_arguments("no_pointer"), None);
    assert_eq!(btf.tracepoint_arguments("nowhere"), None);
}

#[test]
fn kinds_that_are_skipped_have_their_lengths() {
    let pair = [0; 2];
    let triple = [0; 3];
    let btf = Blob::new()
        .begin("", KIND_ARRAY << 24, 0)
        .words(&triple)
        .begin("e", KIND_ENUM << 24 | 2, 4)
        .words(&pair)
        .words(&pair)
        .begin("e64", KIND_ENUM64 << 24 | 1, 8)
        .words(&triple)
        .begin("data", KIND_DATASEC << 24 | 2, 8)
        .words(&triple)
        .words(&triple)
        .begin("variable", KIND_VAR << 24, 1)
        .words(&[0])
        .begin("tag", KIND_DECL_TAG << 24, 1)
        .words(&[0])
        .begin("", KIND_TYPE_TAG << 24, 1)
        .begin("forward", KIND_FWD << 24, 0)
        .begin("double", KIND_FLOAT << 24, 8)
        .compound(KIND_STRUCT, "last", &[("member", 1, 8)])
        .btf();
    assert_eq!(btf.structure("last"), Some(10));
    assert_eq!(btf.offset_of("last", &["member"]).unwrap(), 1);
}

#[test]
fn an_unknown_kind_is_refused() {
    let blob = Blob::new().begin("new", 31 << 24, 0);
    assert!(refused(&blob.bytes()).contains("unknown kind 31"));
    assert!(refused(&Blob::new().begin("none", 0, 0).bytes()).contains("unknown kind 0"));
}

#[test]
fn another_format_is_refused() {
    let mut blob = nested().bytes();
    blob[0] ^= 1;
    assert!(refused(&blob).contains("magic"));
}

#[test]
fn what_is_cut_off_is_refused_wherever_it_is_cut() {
    let blob = nested().bytes();
    for length in 0..blob.len() {
        refused(&blob[..length]);
    }
    // The header is right, and the last type ends early.
    for cut in [1, 4, 12] {
        let mut shorter = nested();
        shorter.types.truncate(shorter.types.len() - cut);
        assert!(refused(&shorter.bytes()).contains("middle of a type"));
    }
    let mut last = Blob::new().int();
    last.types.truncate(12);
    assert!(refused(&last.bytes()).contains("middle of a type"));
}

#[test]
fn no_blob_brings_the_parser_down() {
    let good = nested().bytes();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..20_000 {
        let mut blob = good.clone();
        for _ in 0..=random() % 4 {
            let at = random() as usize % blob.len();
            blob[at] = [0, 1, 0x7f, 0xff, random() as u8][random() as usize % 5];
        }
        let Ok(btf) = Btf::parse(&blob) else {
            continue;
        };
        for structure in ["outer", "holder"] {
            for member in ["plain", "second", "in_holder.second"] {
                let _ = btf.offset_of(structure, &[member]);
                btf.is_shared(structure, member);
            }
        }
    }
}

#[test]
fn types_that_refer_to_themselves_end() {
    let btf = Blob::new()
        .begin("around", KIND_TYPEDEF << 24, 1)
        .compound(KIND_STRUCT, "self", &[("", 2, 8), ("", 2, u32::MAX)])
        .compound(KIND_STRUCT, "far", &[("", 4, u32::MAX)])
        .compound(KIND_STRUCT, "near", &[("member", 1, u32::MAX)])
        .btf();
    assert!(btf.offset_of("self", &["member"]).is_err());
    assert!(btf.offset_of("far", &["member"]).is_err());
    assert!(btf.offset_of("near", &["member", "member"]).is_err());
}
