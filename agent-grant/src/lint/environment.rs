//! Remarks on what a grant keeps of the environment.

use super::{Lint, LintKind};
use crate::{
    compile::Compiled,
    diagnostic::{Diagnostic, Severity},
    environment::Kept,
    syntax::Text,
};

/// Words that name secrets, between the underscores of a name.
const SECRET_WORDS: [&str; 20] = [
    "APIKEY",
    "AUTH",
    "BEARER",
    "COOKIE",
    "CREDENTIAL",
    "CREDENTIALS",
    "CREDS",
    "DSN",
    "JWT",
    "KEY",
    "KEYS",
    "PASS",
    "PASSPHRASE",
    "PASSWD",
    "PASSWORD",
    "PAT",
    "SECRET",
    "SECRETS",
    "TOKEN",
    "TOKENS",
];

/// Variables that hold secrets, or lead to one who has them, and that patterns are held against.
const SECRETS: [&str; 44] = [
    "ANTHROPIC_API_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "CARGO_REGISTRY_TOKEN",
    "CARGO_REGISTRIES_INTERNAL_TOKEN",
    "CI_JOB_TOKEN",
    "CLOUDFLARE_API_TOKEN",
    "COMPOSER_AUTH",
    "DATABASE_URL",
    "DBUS_SESSION_BUS_ADDRESS",
    "DIGITALOCEAN_TOKEN",
    "DOCKER_AUTH_CONFIG",
    "DOCKER_HOST",
    "GEMINI_API_KEY",
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "GITLAB_TOKEN",
    "GOOGLE_API_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GPG_AGENT_INFO",
    "HEROKU_API_KEY",
    "HF_TOKEN",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "KUBECONFIG",
    "MYSQL_PWD",
    "NODE_AUTH_TOKEN",
    "NPM_TOKEN",
    "OPENAI_API_KEY",
    "PGPASSWORD",
    "PIP_INDEX_URL",
    "PYPI_TOKEN",
    "REDIS_URL",
    "SENTRY_AUTH_TOKEN",
    "SLACK_BOT_TOKEN",
    "SSH_AUTH_SOCK",
    "STRIPE_SECRET_KEY",
    "SUDO_ASKPASS",
    "TF_TOKEN_app_terraform_io",
    "TWINE_PASSWORD",
    "UV_INDEX_INTERNAL_PASSWORD",
    "VAULT_TOKEN",
    "npm_config__authToken",
];

/// Variables by which every program that is started loads or runs something more.
const LOADERS: [&str; 9] = [
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "LD_AUDIT",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "BASH_ENV",
    "ENV",
    "BASH_FUNC_ls%%",
    "PYTHONSTARTUP",
];

pub(super) fn lint(grant: &Compiled) -> Vec<Lint> {
    let keep = grant.environment.parts.iter().flat_map(|part| &part.keep);
    let mut lints = Vec::new();
    for kept in keep {
        if let Some(name) = secret(kept) {
            let help = "whoever is in the session can read it and pass it on; give it one that is \
                        made for it, with no more rights than it needs";
            let message = format!("`{}` keeps {name}", kept.text.value);
            lints.push(remark(
                LintKind::KeepsSecret,
                kept.text.clone(),
                message,
                help,
            ));
        }
        if let Some(name) = LOADERS.iter().find(|name| kept.matches(name.as_bytes())) {
            let help = "what it names is loaded or run by every program of the session; `set` it \
                        to a value that is known";
            let message = format!("`{}` keeps `{name}`", kept.text.value);
            lints.push(remark(
                LintKind::KeepsLoader,
                kept.text.clone(),
                message,
                help,
            ));
        }
    }
    lints
}

/// What a pattern keeps that is, or by its name may be, a secret.
fn secret(kept: &Kept) -> Option<String> {
    let pattern = &kept.text.value;
    if let Some(name) = SECRETS.iter().find(|name| kept.matches(name.as_bytes())) {
        return Some(if pattern == name {
            "what is a secret, or leads to one".to_owned()
        } else {
            format!("`{name}`")
        });
    }
    let upper = pattern.to_ascii_uppercase();
    let mut words = upper.split(|c: char| !c.is_ascii_alphanumeric());
    let named = words.find(|word| SECRET_WORDS.contains(word))?;
    Some(format!("what may be a secret ({})", named.to_lowercase()))
}

fn remark(kind: LintKind, at: Text, message: String, help: &str) -> Lint {
    Lint {
        kind,
        rules: Vec::new(),
        path: None,
        diagnostic: Diagnostic {
            severity: Severity::Warning,
            message,
            location: Some(at.location),
            label: String::new(),
            help: Some(help.to_owned()),
        },
    }
}
