//! Grants of checkouts that users trust, with the texts that they were shown.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

use super::{Store, StoreError};
use crate::api::PathText;

/// A file that a user trusts while what is read from it, and from what it includes by paths, is this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptTrust {
    pub uid: u32,
    pub file: PathBuf,
    pub texts: BTreeSet<(Vec<u8>, Arc<str>)>,
    pub since: Timestamp,
}

impl Store {
    /// Trusts it from now on, and not what it was before.
    pub fn trust(&self, trust: &KeptTrust) -> Result<(), StoreError> {
        let texts = trust.texts.iter();
        let texts: Vec<_> = texts
            .map(|(path, text)| (PathText::new(path), text))
            .collect();
        self.lock().execute(
            "INSERT OR REPLACE INTO trusted (uid, file, texts, since) VALUES (?1, ?2, ?3, ?4)",
            params![
                trust.uid,
                trust.file.as_os_str().as_bytes(),
                serde_json::to_string(&texts)?,
                trust.since.as_microsecond(),
            ],
        )?;
        Ok(())
    }

    /// Whether a user trusted it until now.
    pub fn distrust(&self, uid: u32, file: &Path) -> Result<bool, StoreError> {
        let gone = self.lock().execute(
            "DELETE FROM trusted WHERE uid = ?1 AND file = ?2",
            params![uid, file.as_os_str().as_bytes()],
        )?;
        Ok(gone > 0)
    }

    /// What a user trusts this file to be.
    pub fn trust_of(&self, uid: u32, file: &Path) -> Result<Option<KeptTrust>, StoreError> {
        let connection = self.lock();
        let found = connection.query_row(
            "SELECT uid, file, since, texts FROM trusted WHERE uid = ?1 AND file = ?2",
            params![uid, file.as_os_str().as_bytes()],
            |row| Ok((named(row)?, row.get::<_, String>(3)?)),
        );
        let Some((kept, texts)) = found.optional()? else {
            return Ok(None);
        };
        let texts: Vec<(PathText, Arc<str>)> = serde_json::from_str(&texts)?;
        let texts = texts.into_iter();
        Ok(Some(KeptTrust {
            texts: texts.map(|(path, text)| (path.bytes(), text)).collect(),
            ..kept
        }))
    }

    /// All that a user trusts, or everybody, without the texts.
    pub fn trusted(&self, uid: Option<u32>) -> Result<Vec<KeptTrust>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare(
            "SELECT uid, file, since FROM trusted WHERE ?1 IS NULL OR uid = ?1 ORDER BY uid, file",
        )?;
        let rows = statement.query_map([uid], named)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// All but the texts.
fn named(row: &Row<'_>) -> rusqlite::Result<KeptTrust> {
    let file: Vec<u8> = row.get(1)?;
    Ok(KeptTrust {
        uid: row.get(0)?,
        file: Path::new(OsStr::from_bytes(&file)).into(),
        texts: BTreeSet::new(),
        since: Timestamp::from_microsecond(row.get(2)?).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::temporary;

    fn trust(uid: u32, file: &[u8], text: &str) -> KeptTrust {
        KeptTrust {
            uid,
            file: Path::new(OsStr::from_bytes(file)).into(),
            texts: [(file.to_vec(), Arc::from(text))].into(),
            since: Timestamp::from_microsecond(1_700_000_000_000_001).unwrap(),
        }
    }

    #[test]
    fn what_is_trusted_is_one_users_and_the_latest_text() {
        let (directory, store) = temporary();
        let first = trust(1000, b"/w/\xff/bailiff.toml", "one");
        let second = trust(1000, b"/w/\xff/bailiff.toml", "two");
        let other = trust(0, b"/w/\xff/bailiff.toml", "three");
        for trust in [&first, &second, &other] {
            store.trust(trust).unwrap();
        }
        drop(store);
        let store = Store::open(directory.path()).unwrap();
        let found = store.trust_of(1000, &first.file).unwrap();
        assert_eq!(found.as_ref(), Some(&second));
        assert_eq!(store.trust_of(1001, &first.file).unwrap(), None);
        let uids = |of| {
            let found = store.trusted(of).unwrap().into_iter();
            found.map(|trust| trust.uid).collect::<Vec<_>>()
        };
        assert_eq!(uids(None), [0, 1000]);
        assert_eq!(uids(Some(1000)), [1000]);
        assert!(store.distrust(1000, &first.file).unwrap());
        assert!(!store.distrust(1000, &first.file).unwrap());
        assert_eq!(uids(None), [0]);
    }
}
