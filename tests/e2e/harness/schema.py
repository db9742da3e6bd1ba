"""The JSON Schemas of the repository, and files as an editor sees them: YAML 1.2, its core schema."""
import json
import os
import re
from pathlib import Path

import jsonschema
import yaml

ROOT = Path(os.environ.get("EXEAT_ROOT", Path(__file__).parents[3]))


class CoreLoader(yaml.SafeLoader):
    """PyYAML reads YAML 1.1, in which `no` is false and 2027-03-31 a date; editors and Exeat do not."""


CoreLoader.yaml_implicit_resolvers = {}
CORE = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
for name, pattern in CORE.items():
    CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{name}", re.compile(f"^(?:{pattern})$"), None)


def construct_int(loader, node):
    text = loader.construct_scalar(node)
    return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)


CoreLoader.add_constructor("tag:yaml.org,2002:int", construct_int)


def read_yaml(text):
    return yaml.load(text, CoreLoader)


def validator(name):
    """The validator of docs/schema/NAME.schema.json."""
    schema = json.loads((ROOT / f"docs/schema/{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


VALIDATORS = {}


def faults(name, text):
    """What the schema NAME finds wrong with a YAML text, as sentences."""
    if name not in VALIDATORS:
        VALIDATORS[name] = validator(name)
    return [f"{error.json_path}: {error.message[:300]}" for error in VALIDATORS[name].iter_errors(read_yaml(text))]
