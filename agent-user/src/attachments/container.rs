//! Containers: what an attachment says of them, and what a runtime's hook is told.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use crate::render::escape;

/// Bytes of what is read about a container, at most.
const MAX_JSON: u64 = 1 << 26;

/// Characters of a name that are shown.
const MAX_SHOWN: usize = 128;

/// Which containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Containers {
    /// By their name or id, `*` and `?` for what may be anything.
    Name(String),
    /// By their image's name, as the engine tells it.
    Image(String),
    /// By an annotation: its key, `=`, and a pattern of its value.
    Annotation(String),
}

/// What is known of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    pub id: String,
    pub names: Vec<String>,
    pub images: Vec<String>,
    pub annotations: BTreeMap<String, String>,
    /// Its engine has names for it, and they cannot be found.
    pub is_nameless: bool,
}

/// What a runtime tells its hooks: the state of the OCI's runtime specification.
#[derive(Debug, Deserialize)]
pub struct OciState {
    pub id: String,
    #[serde(default)]
    pub pid: u32,
    pub bundle: PathBuf,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

impl Containers {
    /// Whether this container is meant.
    #[must_use]
    pub fn mean(&self, container: &Container) -> bool {
        let any = |pattern: &str, texts: &[String]| texts.iter().any(|text| fits(pattern, text));
        match self {
            Self::Name(pattern) => any(pattern, &container.names) || fits(pattern, &container.id),
            Self::Image(pattern) => any(pattern, &container.images),
            Self::Annotation(text) => text.split_once('=').is_some_and(|(key, value)| {
                let found = container.annotations.get(key);
                found.is_some_and(|found| fits(value, found))
            }),
        }
    }

    /// Those that an image's author has more say in come later: he can give his image annotations.
    #[must_use]
    pub fn rank(&self) -> u8 {
        match self {
            Self::Name(_) => 0,
            Self::Image(_) => 1,
            Self::Annotation(_) => 2,
        }
    }

    /// Whether it is written as it should be.
    ///
    /// # Errors
    /// It is not, in words.
    pub fn check(&self) -> Result<(), String> {
        let is_well = match self {
            Self::Name(text) | Self::Image(text) => !text.is_empty(),
            Self::Annotation(text) => text.find('=').is_some_and(|place| place > 0),
        };
        let how = match self {
            Self::Annotation(_) => "write it as KEY=VALUE",
            Self::Name(_) | Self::Image(_) => "it names none",
        };
        is_well
            .then_some(())
            .ok_or_else(|| format!("`{}`: {how}", escape(self.text())))
    }

    /// As it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        let (Self::Name(text) | Self::Image(text) | Self::Annotation(text)) = self;
        text
    }
}

/// Whether a text is of a pattern, in which `*` is any text and `?` any character.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (
        pattern.chars().collect::<Vec<_>>(),
        text.chars().collect::<Vec<_>>(),
    );
    // Where the last star is, and what it stood for so far.
    let (mut at, mut seen, mut star) = (0, 0, None);
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    (at, seen) = (place + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|left| *left == '*')
}

impl Container {
    /// What can be found about a container: in what its runtime told, in its bundle, and in its engine's files.
    ///
    /// Names and images of podman and of Docker are from their own files: their annotations may be the image's.
    #[must_use]
    pub fn of(state: &OciState) -> Self {
        let mut found = Self {
            id: state.id.clone(),
            annotations: state.annotations.clone(),
            ..Self::default()
        };
        let config = json(&state.bundle.join("config.json"));
        let written = config.as_ref().and_then(|it| it["annotations"].as_object());
        for (key, value) in written.into_iter().flatten() {
            if let Some(value) = value.as_str() {
                found.annotations.insert(key.clone(), value.into());
            }
        }
        if !found.ask_storage(&state.bundle) && !found.ask_docker(&state.bundle) {
            found.ask_annotations();
            let manager = found.annotations.get("io.container.manager");
            found.is_nameless = manager.is_some_and(|manager| manager == "libpod");
        }
        found
    }

    /// podman and CRI-O: `overlay-containers/ID/userdata` is the bundle, and beside it are all by their ids.
    fn ask_storage(&mut self, bundle: &Path) -> bool {
        let Some(all) = bundle.parent().and_then(Path::parent) else {
            return false;
        };
        let files = ["containers.json", "volatile-containers.json"];
        let lists = files.iter().filter_map(|file| json(&all.join(file)));
        let mut known = false;
        for list in lists {
            let own = list.as_array().into_iter().flatten();
            let own = own.filter(|one| one["id"].as_str() == Some(&self.id));
            for one in own {
                known = true;
                self.names.extend(texts(&one["names"]));
                let more = one["metadata"].as_str();
                let more = more.and_then(|text| serde_json::from_str::<Value>(text).ok());
                let of = |key: &str| more.as_ref().and_then(|more| more[key].as_str());
                self.images.extend(of("image-name").map(str::to_owned));
                if let Some(id) = of("image-id") {
                    self.images.push(id.into());
                    self.images.extend(names_of_image(all, id));
                }
            }
        }
        known
    }

    /// Docker: its bundles are containerd's, in the namespace `moby`.
    fn ask_docker(&mut self, bundle: &Path) -> bool {
        let is_dockers = bundle.components().any(|part| part.as_os_str() == "moby");
        let is_id = self.id.len() == 64 && self.id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_dockers || !is_id {
            return false;
        }
        let file = Path::new("/var/lib/docker/containers").join(&self.id);
        let Some(config) = json(&file.join("config.v2.json")) else {
            return false;
        };
        let name = config["Name"].as_str();
        self.names
            .extend(name.map(|name| name.trim_start_matches('/').to_owned()));
        let image = config["Config"]["Image"].as_str();
        self.images.extend(image.map(str::to_owned));
        true
    }

    /// containerd for Kubernetes, CRI-O, and nerdctl.
    fn ask_annotations(&mut self) {
        const NAMES: [&str; 3] = [
            "io.kubernetes.cri.container-name",
            "io.kubernetes.container.name",
            "nerdctl/name",
        ];
        const IMAGES: [&str; 2] = [
            "io.kubernetes.cri.image-name",
            "io.kubernetes.cri-o.ImageName",
        ];
        let of = |keys: &[&str]| {
            let found = keys.iter().filter_map(|key| self.annotations.get(*key));
            found.cloned().collect::<Vec<_>>()
        };
        let (names, images) = (of(&NAMES), of(&IMAGES));
        self.names.extend(names);
        self.images.extend(images);
    }

    /// What it is called, as far as anybody reads it.
    #[must_use]
    pub fn shown(&self) -> String {
        let name = self.names.first().unwrap_or(&self.id);
        match name.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => format!("{}…", &name[..end]),
            None => name.clone(),
        }
    }
}

/// All names of an image of podman's: whoever starts it calls it by one of them, by its digest or by its id.
fn names_of_image(containers: &Path, id: &str) -> Vec<String> {
    let Some(storage) = containers.parent() else {
        return Vec::new();
    };
    // `overlay-containers`, and beside it `overlay-images`.
    let driver = containers.file_name().unwrap_or_default().to_string_lossy();
    let images = driver.replace("-containers", "-images");
    let list = json(&storage.join(images).join("images.json"));
    let all = list.as_ref().and_then(Value::as_array);
    let own = all
        .into_iter()
        .flatten()
        .filter(|one| one["id"].as_str() == Some(id));
    own.flat_map(|one| texts(&one["names"])).collect()
}

fn json(path: &Path) -> Option<Value> {
    let is_small = fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() < MAX_JSON);
    let text = is_small.then(|| fs::read(path).ok()).flatten()?;
    serde_json::from_slice(&text).ok()
}

fn texts(list: &Value) -> Vec<String> {
    let all = list.as_array().into_iter().flatten();
    all.filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_it_spells() {
        for (pattern, text) in [
            ("web", "web"),
            ("web-*", "web-1"),
            ("*", ""),
            ("docker.io/library/nginx:*", "docker.io/library/nginx:1.27"),
            ("a*b*c", "a-b-b-c"),
            ("?", "é"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("web", "web1"),
            ("web-?", "web-"),
            ("a*b", "a-bc"),
            ("", "a"),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn podmans_names_are_from_its_own_files_and_annotations_from_the_bundle() {
        let graph = tempfile::tempdir().unwrap();
        let storage = graph.path().join("overlay-containers");
        let bundle = storage.join("abc/userdata");
        fs::create_dir_all(&bundle).unwrap();
        fs::create_dir_all(graph.path().join("overlay-images")).unwrap();
        let write = |name: &str, text: &str| fs::write(storage.join(name), text).unwrap();
        write(
            "../overlay-images/images.json",
            r#"[{"id":"0123","names":["localhost/box:latest","localhost/other-name:1"]},
                {"id":"4567","names":["localhost/none"]}]"#,
        );
        write(
            "containers.json",
            r#"[{"id":"other","names":["no"]},
                {"id":"abc","names":["web"],"metadata":"{\"image-name\":\"localhost/box@sha256:89\",\"image-id\":\"0123\"}"}]"#,
        );
        write("volatile-containers.json", "not json");
        write(
            "abc/userdata/config.json",
            r#"{"annotations":{"agent":"yes","io.kubernetes.container.name":"admin"}}"#,
        );
        let found = Container::of(&OciState {
            id: "abc".into(),
            pid: 1,
            bundle,
            annotations: BTreeMap::new(),
        });
        assert_eq!(
            (found.names.as_slice(), found.shown().as_str()),
            (&["web".into()][..], "web")
        );
        let means = |containers: Containers| containers.mean(&found);
        // By whichever of its image's names, its digest or its id it was started.
        for image in [
            "localhost/box:*",
            "localhost/other-name:1",
            "*@sha256:89",
            "0123",
        ] {
            assert!(means(Containers::Image(image.into())), "{image}");
        }
        assert!(!means(Containers::Image("localhost/none".into())));
        assert!(means(Containers::Annotation("agent=y*".into())));
        assert!(means(Containers::Name("abc".into())));
        // What an image says of itself is no name.
        assert!(!means(Containers::Name("admin".into())));
        assert!(!means(Containers::Annotation("agent=no".into())));
        assert!(Containers::Annotation("agent".into()).check().is_err());
    }

    #[test]
    fn what_kubernetes_calls_it_counts_where_no_engine_knows_it() {
        let bundle = tempfile::tempdir().unwrap();
        let found = Container::of(&OciState {
            id: "x".into(),
            pid: 1,
            bundle: bundle.path().join("a/b"),
            annotations: [("io.kubernetes.cri.container-name".into(), "agent".into())].into(),
        });
        assert!(Containers::Name("agent".into()).mean(&found) && !found.is_nameless);
    }
}
