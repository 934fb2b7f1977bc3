//! Users of this host. Read from the file's text: a static program has no name service.

use std::fs;

/// Name and home of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub home: String,
}

/// The user with this number.
#[must_use]
pub fn by_uid(uid: u32) -> Option<Account> {
    find(&passwd(), |_, number| number == uid)
}

/// The user of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<Account> {
    find(&passwd(), |found, _| found == name)
}

fn passwd() -> String {
    fs::read_to_string("/etc/passwd").unwrap_or_default()
}

fn find(passwd: &str, is_meant: impl Fn(&str, u32) -> bool) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let fields = line.split(':').collect::<Vec<_>>();
        let [name, _, number, _, _, home, ..] = fields[..] else {
            return None;
        };
        is_meant(name, number.parse().ok()?).then(|| Account {
            name: name.to_owned(),
            home: home.to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/bash\nbroken\nagent:x:1000:1000::/home/agent:/bin/sh\n";

    #[test]
    fn a_user_is_found_by_number_and_by_name() {
        let agent = Account {
            name: "agent".into(),
            home: "/home/agent".into(),
        };
        assert_eq!(find(PASSWD, |_, uid| uid == 1000), Some(agent.clone()));
        assert_eq!(find(PASSWD, |name, _| name == "agent"), Some(agent));
        assert_eq!(find(PASSWD, |_, uid| uid == 1), None);
    }
}
