"""The document that we publish has everything that the contract has. `contract.json` is a copy of the contract."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

CONTRACT = json.loads((Path(__file__).parent / "contract.json").read_text())
COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("schema") / "openapi.json"
    call_command("spectacular", "--format", "openapi-json", "--validate", "--fail-on-warn", "--file", str(file))
    return json.loads(file.read_text())


def test_the_document_has_every_part_of_the_contract(ours):
    assert list(differences(CONTRACT, ours)) == []


def test_the_committed_document_is_current(ours):
    assert json.loads(COMMITTED.read_text()) == ours, (
        "run: python manage.py spectacular --format openapi-json --file docs/openapi.json"
    )


def test_every_error_answer_has_an_example_with_a_sentence_and_a_code(ours):
    for path, methods in ours["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                if status < "400":
                    continue
                examples = answer["content"]["application/json"]["examples"].values()
                assert examples, (path, method, status)
                assert all({"error", "code"} <= example["value"].keys() for example in examples)


def test_a_field_that_is_renamed_or_retyped_is_noticed(ours):
    """The comparison above is worth something: it names a difference when there is one."""
    broken = json.loads(json.dumps(ours))
    broken["components"]["schemas"]["Usage"]["properties"]["limit_count"] = {"type": "string"}
    del broken["paths"]["/api/v1/whoami"]["get"]["responses"]["403"]
    found = "\n".join(differences(CONTRACT, broken))
    assert "limit_count" in found
    assert "whoami get 403" in found


def differences(theirs: dict[str, Any], mine: dict[str, Any]):
    for path, methods in theirs["paths"].items():
        for method, operation in methods.items():
            yield from of_operation(
                f"{path} {method}", theirs, operation, mine, mine["paths"].get(path, {}).get(method)
            )
    for name, schema in theirs["components"]["schemas"].items():
        yield from of_schema(name, theirs, schema, mine, mine["components"]["schemas"].get(name, {}))
    for key in ("securitySchemes",):
        if theirs["components"][key] != mine["components"].get(key):
            yield f"{key}: {mine['components'].get(key)}"
    for key in ("security", "tags", "openapi"):
        if theirs[key] != mine.get(key):
            yield f"{key}: {mine.get(key)}"


def of_operation(where, theirs, operation, mine, other):
    if other is None:
        yield f"{where} is missing"
        return
    for key in ("operationId", "tags", "summary", "x-required-scopes"):
        if operation.get(key) != other.get(key):
            yield f"{where} {key}: {other.get(key)!r}"
    for parameter in operation.get("parameters", []):
        same = [p for p in other["parameters"] if (p["name"], p["in"]) == (parameter["name"], parameter["in"])]
        if not same or same[0]["schema"] != parameter["schema"]:
            yield f"{where} parameter {parameter['name']}: {same}"
        elif same[0].get("required", False) != parameter["required"]:
            yield f"{where} parameter {parameter['name']}: required"
    if ("requestBody" in operation) != ("requestBody" in other):
        yield f"{where} request body"
    elif "requestBody" in operation:
        if operation["requestBody"].get("required") != other["requestBody"].get("required"):
            yield f"{where} request body: required"
        yield from of_schema(
            f"{where} body", theirs, json_schema(operation["requestBody"]), mine, json_schema(other["requestBody"])
        )
    for status, answer in operation["responses"].items():
        if status not in other["responses"]:
            yield f"{where} {status} is missing"
        else:
            mine_answer = json_schema(other["responses"][status])
            yield from of_schema(f"{where} {status}", theirs, json_schema(answer), mine, mine_answer)


def of_schema(where, theirs, schema, mine, other):
    schema, other = resolved(theirs, schema), resolved(mine, other)
    if kind(schema) != kind(other):
        yield f"{where}: {kind(other)} and not {kind(schema)}"
    for key in ("required", "enum"):
        if sorted(schema.get(key, [])) != sorted(other.get(key, [])):
            yield f"{where} {key}: {other.get(key)}"
    for key in ("format", "minLength"):
        if schema.get(key) != other.get(key):
            yield f"{where} {key}: {other.get(key)}"
    for name, field in schema.get("properties", {}).items():
        if name not in other.get("properties", {}):
            yield f"{where}.{name} is missing"
        else:
            yield from of_schema(f"{where}.{name}", theirs, field, mine, other["properties"][name])
    if "items" in schema:
        yield from (
            of_schema(f"{where}[]", theirs, schema["items"], mine, other.get("items", {}))
            if schema["items"] != {"type": "object"}
            else ()
        )


def json_schema(body):
    return body["content"]["application/json"]["schema"]


def resolved(document, schema):
    while "$ref" in schema:
        target = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = target
    return schema


def kind(schema) -> tuple[str | None, bool]:
    """The type and whether null is one too, as 3.0 (nullable) and 3.1 (a list of types) write it."""
    types = schema.get("type")
    if isinstance(types, list):
        return next(name for name in types if name != "null"), "null" in types
    return types, bool(schema.get("nullable"))
