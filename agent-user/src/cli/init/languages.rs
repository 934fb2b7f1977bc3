//! What a checkout is written in, by the files at its top, and what that needs beyond `coder`.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// A language or a build tool.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Language {
    pub(super) name: &'static str,
    /// Files that tell it; `*.x` is every name that ends so.
    marks: &'static [&'static str],
    pub(super) needs: &'static [Need],
    /// Variables, their values, and why.
    pub(super) set: &'static [(&'static str, &'static str, &'static str)],
}

/// Directories below the home directory that it uses and does not change.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) id: &'static str,
    pub(super) allow: &'static [&'static str],
    /// Below the home directory.
    pub(super) directories: &'static [&'static str],
    pub(super) reason: &'static str,
}

const READ: &[&str] = &["read", "list"];
const RUN: &[&str] = &["read", "list", "exec"];

/// One row for each. What is not here needs nothing that `coder` does not have.
pub(super) const LANGUAGES: &[Language] = &[
    Language {
        name: "Rust",
        marks: &["Cargo.toml"],
        needs: &[],
        set: &[],
    },
    Language {
        name: "JavaScript",
        marks: &["package.json", "deno.json", "deno.jsonc"],
        needs: &[Need {
            id: "javascript-packages",
            allow: READ,
            directories: &[
                ".npm/_cacache",
                ".cache/yarn",
                ".yarn/berry/cache",
                ".cache/deno",
            ],
            reason: "Packages that were fetched outside.",
        }],
        set: &[],
    },
    Language {
        name: "Python",
        marks: &[
            "pyproject.toml",
            "requirements.txt",
            "setup.py",
            "setup.cfg",
            "Pipfile",
        ],
        needs: &[
            Need {
                id: "python-packages",
                allow: READ,
                directories: &[".cache/pip", ".cache/uv"],
                reason: "Packages that were fetched outside.",
            },
            Need {
                id: "python-environments",
                allow: RUN,
                directories: &[
                    ".virtualenvs",
                    ".local/share/virtualenvs",
                    ".cache/pypoetry/virtualenvs",
                    "miniconda3",
                    "anaconda3",
                    "miniforge3",
                    ".conda/envs",
                ],
                reason: "Environments that lie outside of the checkout: to use, not to change.",
            },
        ],
        set: &[],
    },
    Language {
        name: "Go",
        marks: &["go.mod", "go.work"],
        needs: &[Need {
            id: "go-modules",
            allow: RUN,
            directories: &["go/pkg/mod"],
            reason: "Modules that were fetched outside, and toolchains among them.",
        }],
        set: &[
            (
                "GOCACHE",
                "/tmp/go-build-cache-${user}",
                "builds outside trust the user's own, so it is not written",
            ),
            (
                "GOTMPDIR",
                "${cwd}",
                "tests are executed where they are built; below /tmp nothing is",
            ),
        ],
    },
    Language {
        name: "Java",
        marks: &[
            "pom.xml",
            "build.gradle",
            "build.gradle.kts",
            "settings.gradle",
            "settings.gradle.kts",
        ],
        needs: &[Need {
            id: "java-packages",
            allow: READ,
            directories: &[".m2/repository"],
            reason: "Packages that were fetched outside.",
        }],
        set: &[(
            "GRADLE_USER_HOME",
            "${cwd}/.gradle/home",
            "Gradle writes locks and runs libraries in its directory",
        )],
    },
    Language {
        name: "Ruby",
        marks: &["Gemfile", "*.gemspec"],
        needs: &[Need {
            id: "ruby-packages",
            allow: RUN,
            directories: &[".gem", ".local/share/gem", ".bundle/cache"],
            reason: "Packages that were installed outside.",
        }],
        set: &[],
    },
    Language {
        name: "PHP",
        marks: &["composer.json"],
        needs: &[Need {
            id: "php-packages",
            allow: READ,
            directories: &[".cache/composer"],
            reason: "Packages that were fetched outside.",
        }],
        set: &[],
    },
    Language {
        name: ".NET",
        marks: &["*.sln", "*.csproj", "*.fsproj", "global.json"],
        needs: &[Need {
            id: "dotnet-packages",
            allow: RUN,
            directories: &[".nuget/packages", ".dotnet"],
            reason: "Packages and toolchains that were installed outside.",
        }],
        set: &[],
    },
    Language {
        name: "Elixir",
        marks: &["mix.exs"],
        needs: &[Need {
            id: "elixir-packages",
            allow: READ,
            directories: &[".mix", ".hex/packages"],
            reason: "Packages that were fetched outside.",
        }],
        set: &[],
    },
    Language {
        name: "Haskell",
        marks: &["stack.yaml", "cabal.project", "*.cabal"],
        needs: &[Need {
            id: "haskell-toolchains",
            allow: RUN,
            directories: &[".ghcup", ".cabal/packages", ".cabal/store"],
            reason: "Toolchains and packages that were installed outside.",
        }],
        set: &[],
    },
    Language {
        name: "C or C++",
        marks: &["CMakeLists.txt", "meson.build", "configure.ac", "configure"],
        needs: &[],
        set: &[],
    },
    Language {
        name: "make",
        marks: &["Makefile", "GNUmakefile", "makefile"],
        needs: &[],
        set: &[],
    },
];

impl Language {
    fn is_told_by(&self, name: &OsStr) -> bool {
        let Some(name) = name.to_str() else {
            return false;
        };
        self.marks.iter().any(|mark| match mark.strip_prefix('*') {
            Some(end) => name.ends_with(end),
            None => name == *mark,
        })
    }
}

impl Need {
    /// Those that are there.
    pub(super) fn present(&self, home: &Path) -> Vec<&'static str> {
        let directories = self.directories.iter().copied();
        directories
            .filter(|directory| home.join(directory).is_dir())
            .collect()
    }
}

/// What the checkout at `top` is written in.
pub(super) fn found(top: &Path) -> Vec<&'static Language> {
    let entries = fs::read_dir(top).into_iter().flatten().flatten();
    let names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    let is_found = |language: &&Language| names.iter().any(|name| language.is_told_by(name));
    LANGUAGES.iter().filter(is_found).collect()
}

/// Agents that somebody may have, by their programs.
const AGENTS: &[&str] = &["claude", "codex", "opencode", "gemini", "aider"];

/// Those that are to be found in `path`, as in the variable `PATH`.
pub(super) fn agents(path: &OsStr) -> Vec<&'static str> {
    let directories: Vec<PathBuf> = std::env::split_paths(path).collect();
    let is_there = |agent: &&str| {
        let mut places = directories.iter().map(|directory| directory.join(agent));
        places.any(|place| place.is_file())
    };
    AGENTS.iter().copied().filter(is_there).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[&str]) -> Vec<&'static str> {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(dir.path().join(file), "").unwrap();
        }
        let found = found(dir.path()).into_iter();
        found.map(|language| language.name).collect()
    }

    #[test]
    fn a_checkout_is_told_by_its_files() {
        assert_eq!(names(&[]), [""; 0]);
        assert_eq!(names(&["Cargo.toml", "README.md"]), ["Rust"]);
        assert_eq!(
            names(&["setup.py", "package.json"]),
            ["JavaScript", "Python"]
        );
        assert_eq!(names(&["x.csproj", "csproj"]), [".NET"]);
        for language in LANGUAGES {
            let mark = language.marks[0].replace('*', "x");
            assert_eq!(names(&[&mark]), [language.name]);
        }
    }

    #[test]
    fn every_need_has_a_name_of_its_own() {
        let needs = LANGUAGES.iter().flat_map(|language| language.needs);
        let mut ids: Vec<_> = needs.map(|need| need.id).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}
