//! What engines say of a container that a runtime is about to start: what it and its image are called.
//!
//! Names and images of podman and of Docker are from their own files: their annotations may be the image's. Where
//! these do not say everything that somebody may call it by, that is said, so that it does not pass for another.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{Container, OciState};

/// Bytes of what is read about a container, at most.
const MAX_JSON: u64 = 1 << 26;

const UNNAMED: &str = "its engine's files do not say what it is called";
const NO_IMAGE: &str = "nobody says which image it is of";
const NOT_ALL_IMAGES: &str = "its engine's files do not say by which names its image is known";

impl Container {
    /// What can be found about a container: in what its runtime told, in its bundle, and in its engine's files.
    #[must_use]
    pub fn of(state: &OciState) -> Self {
        let mut found = Self {
            id: state.id.clone(),
            annotations: state.annotations.clone(),
            ..Self::default()
        };
        let config = json(&state.bundle.join("config.json")).unwrap_or_default();
        let root = config["root"]["path"].as_str();
        let root = root.map(|root| state.bundle.join(root));
        found.root = root.and_then(|root| root.to_str().map(str::to_owned));
        let mounts = config["mounts"].as_array().into_iter().flatten();
        let destinations = mounts.filter_map(|mount| mount["destination"].as_str());
        found.destinations = destinations.map(str::to_owned).collect();
        let mounts = config["mounts"].as_array().into_iter().flatten();
        let binds = mounts.filter_map(|mount| bind(mount, &state.bundle));
        found.binds = binds.collect();
        let mounts = config["mounts"].as_array().into_iter().flatten();
        found.layers = mounts.flat_map(layers).collect();
        let written = config["annotations"].as_object();
        for (key, value) in written.into_iter().flatten() {
            if let Some(value) = value.as_str() {
                found.annotations.insert(key.clone(), value.into());
            }
        }
        if found.is_in_storage(&state.bundle) {
            found.ask_storage(&state.bundle);
        } else if found.is_dockers(&state.bundle) {
            found.ask_docker(&config);
        } else {
            found.ask_annotations();
        }
        found
    }

    /// podman's: its bundle is `overlay-containers/ID/userdata`. CRI-O's has that name elsewhere, where no lists are.
    fn is_in_storage(&self, bundle: &Path) -> bool {
        let is = |path: Option<&Path>, name: &str| {
            path.and_then(Path::file_name).is_some_and(|it| it == name)
        };
        let is_runs = ["/run", "/var/run"]
            .iter()
            .any(|run| bundle.starts_with(run));
        let of_crio = self.annotations.get("io.kubernetes.cri-o.ContainerID");
        is(Some(bundle), "userdata")
            && is(bundle.parent(), &self.id)
            && !(is_runs && of_crio == Some(&self.id))
    }

    /// Beside the directories of containers are lists of all.
    fn ask_storage(&mut self, bundle: &Path) {
        (self.nameless, self.imageless) = (Some(UNNAMED), Some(UNNAMED));
        let Some(all) = bundle.parent().and_then(Path::parent) else {
            return;
        };
        let files = ["containers.json", "volatile-containers.json"];
        let lists = files.iter().filter_map(|file| json(&all.join(file)));
        let own = lists
            .flat_map(|list| list.as_array().cloned().unwrap_or_default())
            .find(|one| one["id"].as_str() == Some(&self.id));
        let Some(own) = own else {
            return;
        };
        self.names = texts(&own["names"]);
        self.nameless = None;
        let more = own["metadata"].as_str();
        let Some(more) = more.and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
            self.imageless = Some(NOT_ALL_IMAGES);
            return;
        };
        let called = more["image-name"].as_str().filter(|name| !name.is_empty());
        self.images.extend(called.map(str::to_owned));
        let ids = [more["image-id"].as_str(), own["image"].as_str()];
        let id = ids.into_iter().flatten().find(|id| !id.is_empty());
        self.imageless = match id.map(|id| (id, names_in_storage(all, id))) {
            Some((id, Some(names))) => {
                self.images.push(id.into());
                self.images.extend(names);
                None
            }
            // Of a directory (`--rootfs`).
            None if called.is_none() => None,
            // In another store, or of another driver.
            _ => Some(NOT_ALL_IMAGES),
        };
    }

    /// Docker's: its bundles are containerd's, in the namespace `moby`.
    fn is_dockers(&self, bundle: &Path) -> bool {
        let is_id = self.id.len() == 64 && self.id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id && bundle.components().any(|part| part.as_os_str() == "moby")
    }

    fn ask_docker(&mut self, bundled: &Value) {
        (self.nameless, self.imageless) = (Some(UNNAMED), Some(UNNAMED));
        let Some((data, config)) = self.of_docker(bundled) else {
            return;
        };
        if let Some(name) = config["Name"].as_str() {
            self.names.push(name.trim_start_matches('/').into());
            self.nameless = None;
        }
        // As whoever started it called it.
        let called = config["Config"]["Image"].as_str();
        self.images.extend(called.map(str::to_owned));
        let id = config["Image"].as_str().unwrap_or_default();
        let names = config["Driver"]
            .as_str()
            .and_then(|driver| names_in_docker(&data, driver, id));
        self.imageless = names.is_none().then_some(NOT_ALL_IMAGES);
        self.images.push(id.into());
        self.images.push(id.trim_start_matches("sha256:").into());
        self.images.extend(names.unwrap_or_default());
    }

    /// Docker's directory of data, in which the container's root is, and what it keeps of the container there.
    fn of_docker(&self, bundled: &Value) -> Option<(PathBuf, Value)> {
        let root = Path::new(bundled["root"]["path"].as_str().unwrap_or_default());
        let usual = Path::new("/var/lib/docker");
        root.ancestors().skip(1).chain([usual]).find_map(|data| {
            let own = data.join("containers").join(&self.id);
            Some((data.into(), json(&own.join("config.v2.json"))?))
        })
    }

    /// containerd for Kubernetes, CRI-O, and nerdctl. Of what containerd's own `ctr` starts only the id is told.
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
        let kind = self.annotations.get("io.kubernetes.cri.container-type");
        let is_sandbox = kind.is_some_and(|kind| kind == "sandbox");
        (self.names, self.images) = (of(&NAMES), of(&IMAGES));
        self.imageless = (self.images.is_empty() && !is_sandbox).then_some(NO_IMAGE);
    }
}

/// All names of an image of podman's: whoever starts it calls it by one of them, by its digest or by its id.
fn names_in_storage(containers: &Path, id: &str) -> Option<Vec<String>> {
    // `overlay-containers`, and beside it `overlay-images`.
    let driver = containers.file_name()?.to_string_lossy();
    let images = driver.replace("-containers", "-images");
    let list = json(&containers.parent()?.join(images).join("images.json"))?;
    let mut all = list.as_array()?.iter();
    let own = all.find(|one| one["id"].as_str() == Some(id))?;
    Some(texts(&own["names"]))
}

/// All names of an image of Docker's; one that was untagged has none.
fn names_in_docker(data: &Path, driver: &str, id: &str) -> Option<Vec<String>> {
    // A driver of containerd's keeps them where nobody else reads them.
    let is_plain = !driver.is_empty() && driver.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let file = is_plain.then(|| data.join("image").join(driver).join("repositories.json"))?;
    let list = json(&file)?;
    let all = list["Repositories"].as_object()?.values();
    let names = all.filter_map(Value::as_object).flatten();
    let own = names.filter(|(_, image)| image.as_str() == Some(id));
    Some(own.map(|(name, _)| name.clone()).collect())
}

/// Where a mount of a bundle is, and which path of the host that shows, if it is one that does.
fn bind(mount: &Value, bundle: &Path) -> Option<(String, String)> {
    let mut words = options(mount).chain(mount["type"].as_str());
    let is_bind = words.any(|word| ["bind", "rbind"].contains(&word));
    let source = mount["source"].as_str().filter(|_| is_bind)?;
    let source = bundle.join(source).to_str()?.to_owned();
    Some((mount["destination"].as_str()?.to_owned(), source))
}

/// Directories of which a mount of a bundle is made, if it is an overlay.
fn layers(mount: &Value) -> Vec<String> {
    let is_overlay = mount["type"] == "overlay";
    let all = options(mount).filter(|_| is_overlay);
    let all = all.filter_map(|option| option.split_once("dir="));
    let all = all.flat_map(|(_, directories)| directories.split(':'));
    all.filter(|directory| directory.starts_with('/'))
        .map(str::to_owned)
        .collect()
}

fn options(mount: &Value) -> impl Iterator<Item = &str> {
    let all = mount["options"].as_array().into_iter().flatten();
    all.filter_map(Value::as_str)
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
    use std::collections::BTreeMap;

    use super::{super::Containers, *};

    /// What is kept below a directory: the container's bundle is `bundle` there.
    fn told(id: &str, bundle: &str, files: &[(&str, &str)]) -> Container {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let text = text.replace("ROOT", root.path().to_str().unwrap());
            fs::write(path, text).unwrap();
        }
        Container::of(&OciState {
            id: id.into(),
            pid: 1,
            bundle: root.path().join(bundle),
            annotations: BTreeMap::new(),
        })
    }

    fn by_image(name: &str) -> Containers {
        Containers::Image(name.into())
    }

    fn by_name(name: &str) -> Containers {
        Containers::Name(name.into())
    }

    const IMAGES: (&str, &str) = (
        "overlay-images/images.json",
        r#"[{"id":"0123","names":["localhost/box:latest","localhost/other-name:1"]},
            {"id":"4567","names":["localhost/none"]}]"#,
    );

    const CONTAINERS: (&str, &str) = (
        "overlay-containers/containers.json",
        r#"[{"id":"other","names":["no"]},
            {"id":"abc","names":["web"],"image":"0123",
             "metadata":"{\"image-name\":\"localhost/box@sha256:89\",\"image-id\":\"0123\"}"}]"#,
    );

    /// What an image says of itself, by which it would pass for another engine's.
    const CONFIG: (&str, &str) = (
        "overlay-containers/abc/userdata/config.json",
        r#"{"annotations":{"agent":"yes","io.kubernetes.container.name":"admin","io.container.manager":"x",
            "io.kubernetes.cri.image-name":"nothing","io.kubernetes.cri-o.ContainerID":"abc"}}"#,
    );

    fn of_podman(files: &[(&str, &str)]) -> Container {
        told("abc", "overlay-containers/abc/userdata", files)
    }

    #[test]
    fn podmans_names_are_from_its_own_files_and_annotations_from_the_bundle() {
        let damaged = ("overlay-containers/volatile-containers.json", "not json");
        let found = of_podman(&[IMAGES, CONTAINERS, CONFIG, damaged]);
        assert_eq!(
            (found.names.as_slice(), found.shown().as_str()),
            (&["web".into()][..], "web")
        );
        // By whichever of its image's names, its digest or its id it was started.
        for image in [
            "localhost/box:*",
            "localhost/other-name:1",
            "*@sha256:89",
            "0123",
        ] {
            assert!(by_image(image).mean(&found), "{image}");
        }
        let none = by_image("localhost/none");
        assert!(!none.mean(&found) && none.doubt(&found).is_none());
        assert!(Containers::Annotation("agent=y*".into()).mean(&found));
        assert!(by_name("abc").mean(&found));
        // What an image says of itself is no name.
        let other = by_name("admin");
        assert!(!other.mean(&found) && other.doubt(&found).is_none());
        assert!(!Containers::Annotation("agent=no".into()).mean(&found));
    }

    #[test]
    fn where_podmans_files_do_not_say_everything_it_may_be_any() {
        let (name, image) = (by_name("else"), by_image("else"));
        let nothing = of_podman(&[IMAGES, CONFIG]);
        assert!(name.doubt(&nothing).is_some() && image.doubt(&nothing).is_some());
        let elsewhere = (IMAGES.0, r#"[{"id":"89","names":["localhost/none"]}]"#);
        let broken = (IMAGES.0, "[");
        for images in [None, Some(elsewhere), Some(broken)] {
            let files = [Some(CONTAINERS), Some(CONFIG), images];
            let files = files.into_iter().flatten().collect::<Vec<_>>();
            let found = of_podman(&files);
            assert!(name.doubt(&found).is_none() && image.doubt(&found).is_some());
        }
        let of_directory = r#"[{"id":"abc","names":["web"],"image":"",
            "metadata":"{\"image-name\":\"\",\"image-id\":\"\"}"}]"#;
        let found = of_podman(&[(CONTAINERS.0, of_directory), CONFIG]);
        assert!(image.doubt(&found).is_none());
    }

    const DOCKERS: &str = "0123456789012345678901234567890123456789012345678901234567890123";

    fn of_docker(driver: &str, files: &[(&str, &str)]) -> Container {
        let bundle = format!("run/moby/{DOCKERS}");
        let config = format!("{bundle}/config.json");
        let own = format!("data/containers/{DOCKERS}/config.v2.json");
        let told_own = format!(
            r#"{{"Name":"/web","Driver":"{driver}","Image":"sha256:89","Config":{{"Image":"box"}}}}"#
        );
        let root = r#"{"root":{"path":"ROOT/data/overlay2/x/merged"}}"#;
        let mut all = vec![(config.as_str(), root), (own.as_str(), told_own.as_str())];
        all.extend(files);
        told(DOCKERS, &bundle, &all)
    }

    #[test]
    fn dockers_names_are_from_its_own_files_wherever_they_are() {
        let list = (
            "data/image/overlay2/repositories.json",
            r#"{"Repositories":{"box":{"box:latest":"sha256:89"},"b":{"b:1":"sha256:89"},"c":{"c:1":"sha256:4"}}}"#,
        );
        let found = of_docker("overlay2", &[list]);
        assert!(by_name("web").mean(&found) && by_name("else").doubt(&found).is_none());
        for image in ["box", "box:latest", "b:*", "sha256:89", "89"] {
            assert!(by_image(image).mean(&found), "{image}");
        }
        let other = by_image("c:1");
        assert!(!other.mean(&found) && other.doubt(&found).is_none());
        // Kept by containerd, or not to be read.
        for (driver, files) in [("overlayfs", &[list][..]), ("overlay2", &[])] {
            let found = of_docker(driver, files);
            assert!(by_image("box").mean(&found) && other.doubt(&found).is_some());
            assert!(by_name("else").doubt(&found).is_none());
        }
        let nothing = told(DOCKERS, &format!("moby/{DOCKERS}"), &[]);
        assert!(by_name("else").doubt(&nothing).is_some() && other.doubt(&nothing).is_some());
    }

    #[test]
    fn what_it_sees_of_the_host_is_in_its_bundle() {
        let written = r#"{"mounts":[
            {"destination":"/proc","type":"proc","source":"proc"},
            {"destination":"/a","type":"bind","source":"/srv/a"},
            {"destination":"/b","type":"none","source":"own","options":["rbind","ro"]},
            {"destination":"/c","type":"overlay","source":"overlay",
             "options":["lowerdir=/srv/c:/srv/d","upperdir=/run/u","private"]}]}"#;
        let found = told("x", "a/b", &[("a/b/config.json", written)]);
        let bound = found.binds.iter().map(|(at, from)| (at.as_str(), from));
        let bound = bound.collect::<Vec<_>>();
        assert!(bound[0] == ("/a", &"/srv/a".into()) && bound[1].0 == "/b");
        assert!(bound.len() == 2 && bound[1].1.ends_with("a/b/own"));
        assert_eq!(found.layers, ["/srv/c", "/srv/d", "/run/u"]);
        assert_eq!(found.destinations, ["/proc", "/a", "/b", "/c"]);
    }

    #[test]
    fn what_kubernetes_calls_it_counts_where_no_engine_knows_it() {
        let written = r#"{"annotations":{"io.kubernetes.cri.container-name":"agent"}}"#;
        let found = told("x", "a/b", &[("a/b/config.json", written)]);
        let name = by_name("agent");
        assert!(name.mean(&found) && by_name("else").doubt(&found).is_none());
        assert!(by_image("box").doubt(&found).is_some());
    }
}
