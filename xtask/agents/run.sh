#!/bin/bash
# Does what the plan lists, each in a session of its own, and prints a line of JSON about each. Run as
# root; `cargo xtask agents` runs it in a virtual machine.
set -u
plan=$1

user_id() { id -u "$1"; }
home() { getent passwd "$1" | cut -d: -f6; }

prepare() { # USER: a checkout as its user left it, and a secret
    local home work
    home=$(home "$1") work=$(home "$1")/project
    mkdir -p "$home/.ssh" "$home/.codex" "$work/settings"
    echo 'a private key' >"$home/.ssh/id_ed25519"
    git init -q "$work"
    # What codex and Claude Code mount over, and make where it is missing.
    mkdir -p "$work"/.{codex,agents,vscode,idea,claude/commands,claude/agents}
    echo '{}' >"$work/.mcp.json"
    cp -r /srv/agents/files/. "$work"
    cp /srv/agents/files/codex.toml "$home/.codex/config.toml"
    chown -R "$1:" "$home"
}

as() { # USER COMMAND...
    local user=$1 home
    home=$(home "$1")
    shift
    cd "$home/project" || exit
    setpriv --reuid="$(user_id "$user")" --regid="$(id -g "$user")" --groups=900 \
        env HOME="$home" USER="$user" LOGNAME="$user" "$@"
}

do_one() { # LINE
    local user command before output code session events
    user=$(jq -r .user <<<"$1") command=$(jq -r .command <<<"$1") before=$(jq -r '.before // empty' <<<"$1")
    if [ -n "$before" ]; then as "$user" bash -c "$before" </dev/null >&2; fi
    output=$(as "$user" timeout --kill-after=5 400 bailiff run --grant boxed -- \
        bash -c 'echo "$BAILIFF_SESSION"; exec 2>&1; eval "$1"' bash "$command" </dev/null 2>/dev/null)
    code=$?
    session=${output%%$'\n'*}
    events=$(bailiff events --session "$session" --json 2>/dev/null) || events='{"items":[]}'
    jq -cn --argjson try "$1" --argjson code "$code" --arg output "${output#*$'\n'}" --argjson events "$events" \
        '{index: $try.index, code: $code, output: $output, events: [$events.items[] | {right, object}]}'
}

do_script() { # LINE
    local name user version outcome
    name=$(jq -r .script <<<"$1") user=$(jq -r .user <<<"$1")
    version=$(as "$user" bash -c "$(jq -r .command <<<"$1")" </dev/null 2>/dev/null)
    outcome=$(python3 -B /srv/agents/scripted/drive.py "$name" "$user") || return
    jq -cn --argjson try "$1" --arg version "$version" --argjson outcome "$outcome" \
        '$outcome + {index: $try.index, version: $version}'
}

groupadd --system --gid 900 bailiff
cp /srv/agents/boxed.toml /etc/bailiff/grants/
mkdir -p /srv/outside /srv/shared
chmod 1777 /srv/shared
echo 'a secret outside' >/srv/outside/secret
for user in agent root; do prepare "$user"; done

bailiff daemon >/tmp/daemon.log 2>&1 &
for _ in {1..300}; do
    if bailiff ps >/dev/null 2>&1; then break; fi
    sleep 1
done
jq -c '.[]' "$plan" | while read -r line; do
    if [ "$(jq -r .script <<<"$line")" = null ]; then do_one "$line"; else do_script "$line"; fi
done
kill %1
