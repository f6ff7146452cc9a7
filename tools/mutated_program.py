"""Programs of a build tree with one source file changed. Only what includes that file is compiled again, from a copy that
lies before the sources in the search path, and linked before the libraries that hold the unchanged objects. Neither the
sources nor the build tree are touched, whatever happens."""
import json
import os
import shlex
import signal
import subprocess
from pathlib import Path


class Failed(Exception):
    """A command that had to succeed did not."""


class Processes:
    """Runs commands in process groups of their own, which end when this process is told to end."""

    def __init__(self):
        self.running, self.told_to_end = set(), False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.end)

    def end(self, number, _frame):
        self.told_to_end = True
        for process in list(self.running):
            self.kill(process)
        raise SystemExit(128 + number)

    @staticmethod
    def kill(process):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def run(self, args, limit_s, **kwargs):
        """Exit status and output; status None after limit_s seconds."""
        if self.told_to_end:
            raise Failed("not tried")
        process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, errors="replace", start_new_session=True, **kwargs)
        self.running.add(process)
        try:
            output, _ = process.communicate(timeout=limit_s)
            status = process.returncode
        except subprocess.TimeoutExpired:
            self.kill(process)
            status, output = None, process.communicate()[0]
        finally:
            self.running.discard(process)
            self.kill(process)  # what it has left behind
        if self.told_to_end:
            raise Failed("ended from outside")
        return status, output


class BuildTree:
    """A build tree that is up to date, as CMake and ninja describe it."""

    def __init__(self, root, folder):
        self.root, self.folder = root, folder
        self.commands = {}  # by object, relative to the folder
        for entry in json.loads((folder / "compile_commands.json").read_text()):
            args = shlex.split(entry["command"])
            self.commands[args[args.index("-o") + 1]] = args
        self.includers = {}  # by file, the objects that were compiled from it
        for block in self.ninja("-t", "deps").split("\n\n"):
            lines = block.splitlines()
            for line in lines[1:]:
                path = os.path.normpath(os.path.join(folder, line.strip()))
                self.includers.setdefault(path, []).append(lines[0].split(":")[0])

    def ninja(self, *args):
        return subprocess.run(["ninja", "-C", str(self.folder), *args], check=True, capture_output=True, text=True).stdout

    def link_command(self, target):
        """The words of the link, and where among them the program's name and its libraries begin."""
        command = self.ninja("-t", "commands", target).splitlines()[-1]
        link = next(part for part in command.split("&&") if " -o " in part)
        words = shlex.split(link)
        return words, words.index("-o") + 1

    def objects_of(self, target):
        """Everything of ours that is linked: the objects in its own link and in its libraries'."""
        words, _ = self.link_command(target)
        own = {word for word in words if word.endswith(".o")}
        libraries = [word for word in words if word.endswith(".a") and not os.path.isabs(word)]
        folders = tuple(f"{os.path.dirname(library)}/CMakeFiles/{Path(library).stem[3:]}.dir/" for library in libraries)
        return own | {name for name in self.commands if name.startswith(folders)}


def mutated_program(processes, tree, target, file, content, folder, limit_s):
    """Builds `target` with the file's content changed, and returns the program's path."""
    copy = folder / file
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(content)
    linked = tree.objects_of(target)
    objects = [name for name in tree.includers.get(str(tree.root / file), []) if name in linked]
    if not objects:
        raise Failed(f"{file} is no part of {target}")
    again = {}
    for number, name in enumerate(objects):
        args = list(tree.commands[name])
        again[name] = str(folder / f"{number}.o")
        args[args.index("-o") + 1] = again[name]
        args = [compiled_instead(arg, tree.root / file, copy, folder / f"{number}.cxx") for arg in args]
        source = args.index(f"-I{tree.root / 'src'}")
        # Warnings that a defect draws do not count; it need not be fast, nor debugged.
        args[source:source] = [f"-I{folder / 'src'}"]
        args += ["-w", "-O1", "-g0"]
        run(processes, args, limit_s, tree.folder)
    words, name = tree.link_command(target)
    words = [again.get(word, word) for word in words]
    program = str(folder / os.path.basename(words[name]))
    words[name] = program
    own = [path for object_name, path in again.items() if path not in words]
    run(processes, words[:name - 1] + own + words[name - 1:], limit_s, tree.folder)
    return program


def compiled_instead(arg, file, copy, batch):
    """An argument of the compiler, where a copy of a file takes its place, by itself or in CMake's batch of files."""
    if not arg.endswith(".cxx"):
        return str(copy) if arg == str(file) else arg
    batch.write_text(Path(arg).read_text().replace(f'#include "{file}"', f'#include "{copy}"'))
    return str(batch)


def run(processes, args, limit_s, folder):
    status, output = processes.run(args, limit_s, cwd=folder)
    if status != 0:
        raise Failed(f"{'no end' if status is None else 'fails'}: {shlex.join(args)}\n{output[-3000:]}")
