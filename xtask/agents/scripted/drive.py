"""Has a program work by the script, once confined and once not, and prints what came of it, as JSON.

Run as root in a virtual machine: `drive.py PROGRAM USER`, with a daemon. `--plain` leaves the confined run out, and
needs neither.
"""

import argparse
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from fnmatch import fnmatchcase
from pathlib import Path

import model
import script
from programs import PROGRAMS

REFUSAL = re.compile(r"permission denied|not permitted|EACCES|EPERM|refused", re.IGNORECASE)
PATIENCE = 600  # seconds; emulated processors are slow


class Elsewhere:
    """A server that nobody is to connect to."""

    def __init__(self):
        self.met = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            self.listener.accept()[0].close()
            self.met += 1


class World:
    """A home directory with a checkout, a secret and a bystander."""

    def __init__(self, program, user):
        self.program, self.user = program, pwd.getpwnam(user)
        self.home = tempfile.mkdtemp(prefix=f"{program.name}-", dir=homes())
        self.project = f"{self.home}/project"
        self.elsewhere = Elsewhere()
        self.bystander = subprocess.Popen(["sleep", "3600"], **self.as_user())
        self.steps = script.work(self) + script.overreach(self)
        self.model, self.port = model.serve()
        self.furnish()
        # As after its first start, which was its user's.
        self.run([])
        self.model.calls = [program.call(step.tool, step.arguments) for step in self.steps]

    def furnish(self):
        files = {
            ".ssh/id_ed25519": script.KEY,
            ".config/gh/hosts.yml": script.TOKEN,
            ".bashrc": "# as the user left it\n",
            "project/answer.c": script.SOURCE,
            "project/test.c": script.TEST,
            "project/Makefile": script.MAKEFILE,
            "project/.gitignore": "check\n.tmp\n",
            **self.program.files(self.port, self.project),
        }
        for path, text in files.items():
            place = Path(self.home, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        for path in self.program.later:
            Path(self.home, path).parent.mkdir(parents=True, exist_ok=True)
        identity = [["config", "user.name", "Agent"], ["config", "user.email", "agent@example.org"]]
        for command in [["init", "-q"], *identity, ["add", "-A"], ["commit", "-q", "-m", "As it was"]]:
            self.git(*command)
        subprocess.run(["chown", "-R", f"{self.user.pw_uid}:{self.user.pw_gid}", self.home], check=True)

    def as_user(self):
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": [900]}

    def read(self, path):
        try:
            return Path(self.home, path).read_text()
        except OSError:
            return ""

    def has(self, path):
        return Path(self.home, path).exists()

    def git(self, *arguments):
        command = ["git", "-c", "safe.directory=*", "-C", self.project, *arguments]
        environment = {**os.environ, "HOME": self.home}
        return subprocess.run(command, capture_output=True, text=True, env=environment).stdout

    def run(self, before):
        """The program's work; gives its exit code, what it said and how long it took."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": self.home,
            "USER": self.user.pw_name,
            "LOGNAME": self.user.pw_name,
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            **self.program.environment(self.port),
        }
        start = time.monotonic()
        process = subprocess.Popen(
            [*before, *self.program.command(self.port)],
            cwd=self.project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            **self.as_user(),
        )
        try:
            said, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said, _ = process.communicate()
        return process.returncode, said, time.monotonic() - start

    def clear(self):
        self.bystander.kill()
        self.bystander.wait()
        shutil.rmtree(self.home, ignore_errors=True)


def homes():
    place = Path("/srv/homes")
    place.mkdir(exist_ok=True)
    return place


def refusals(since):
    """What was recorded later than the event of this number."""
    out = subprocess.run(["bailiff", "events", "--limit", "5000", "--json"], capture_output=True, text=True).stdout
    items = json.loads(out or '{"items":[]}')["items"]
    return [one for one in items if one["id"] > since]


def outcome(program, user, confined):
    before = max((one["id"] for one in refusals(-1)), default=-1) if confined else -1
    world = World(program, user)
    ahead = ["bailiff", "run", "--net", f"127.0.0.1:{world.port}", "--"] if confined else []
    code, said, seconds = world.run(ahead)
    events = refusals(before) if confined else []
    steps = []
    for number, step in enumerate(world.steps):
        told = world.model.results.get(number, "")
        about = [one for one in events if step.refused and fnmatchcase(one["object"], step.refused)]
        steps.append(
            {
                "name": step.name,
                "work": step.refused is None,
                "asked": number in world.model.results,
                "effect": step.effect(world, told),
                "told": bool(REFUSAL.search(told)),
                "recorded": bool(about),
                "text": told[:600],
            }
        )
    meant = [step.refused for step in world.steps if step.refused]
    other = [f"{one['right']} {one['object']}" for one in events if not any(fnmatchcase(one["object"], part) for part in meant)]
    world.clear()
    return {"code": code, "said": said[-2000:], "seconds": round(seconds, 1), "steps": steps, "other": sorted(other)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", choices=PROGRAMS)
    parser.add_argument("user")
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    program = PROGRAMS[options.program]
    runs = {"plain": outcome(program, options.user, False)}
    if not options.plain:
        runs["confined"] = outcome(program, options.user, True)
    print(json.dumps(runs))


if __name__ == "__main__":
    main()
