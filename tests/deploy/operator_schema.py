"""Holds resources of the Prometheus Operator to its own schema: reads YAML from standard input, and
says for each of its resources that it is valid. Fields that the schema does not know are faults too."""

import sys

import cloudcoil.models.prometheus_operator.v1 as schema
import yaml


def main() -> None:
    for document in yaml.safe_load_all(sys.stdin):
        if document is None or document["apiVersion"] != "monitoring.coreos.com/v1":
            continue
        kind = document["kind"]
        model = getattr(schema, kind).model_validate(document)
        understood = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
        if lost := list(unknown(document, understood, kind)):
            sys.exit(f"{kind} {document['metadata']['name']}: unknown: {', '.join(lost)}")
        print(f"{kind} {document['metadata']['name']}: valid")


def unknown(given: object, understood: object, path: str):
    """Paths of what was given and not understood."""
    if isinstance(given, dict):
        for key, value in given.items():
            if not isinstance(understood, dict) or key not in understood:
                yield f"{path}.{key}"
            else:
                yield from unknown(value, understood[key], f"{path}.{key}")
    elif isinstance(given, list):
        for number, value in enumerate(given):
            yield from unknown(value, understood[number], f"{path}[{number}]")


main()
