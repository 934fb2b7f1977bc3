//! A large grant, for the benchmark and for the test of its size.

use std::fmt::Write;

/// A thousand patterns: directories, files by name, extensions, some floating denials.
pub(crate) fn thousand() -> String {
    let mut text = "version = 1\nname = \"thousand\"\n".to_owned();
    for rule in 0..50 {
        let effect = if rule % 5 == 4 { "deny" } else { "allow" };
        let right = ["\"read\", \"list\"", "\"read\", \"exec\"", "\"all\""][rule % 3];
        writeln!(text, "[[file]]\n{effect} = [{right}]\npath = [").expect("a string");
        for n in 0..20 {
            let pattern = match (rule, n % 5) {
                (44 | 49, 0) => format!("/**/*.secret{}", n / 5),
                (_, 0) => format!("/srv/team{rule}/project{n}/**"),
                (_, 1) => format!("/srv/group{rule}/project{n}/src/*.c"),
                (_, 2) => format!("/opt/tool{rule}/bin/tool{n}"),
                (_, 3) => format!("/home/user{n}/.config/app{rule}/**"),
                _ => format!("/var/lib/data{n}/*/cache{rule}"),
            };
            writeln!(text, "\"{pattern}\",").expect("a string");
        }
        text.push_str("]\n");
    }
    text
}
