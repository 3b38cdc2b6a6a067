"""Parts of the OpenAPI description that the framework cannot tell from a signature."""

from typing import Any

from pydantic import BaseModel


def json_body(model: type[BaseModel], example: object) -> dict[str, Any]:
    """Describe a body of JSON that an endpoint reads by itself."""
    schema = model.model_json_schema()
    content = {"schema": _inlined(schema, schema.pop("$defs", {})), "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def link(operation: str, **parameters: str) -> dict[str, Any]:
    """Describe which call an answer leads to.

    Args:
        operation: its id.
        parameters: its parameters, each by a field of the answer.
    """
    fields = {name: f"$response.body#/{field}" for name, field in parameters.items()}
    return {"operationId": operation, "parameters": fields}


def _inlined(schema: Any, named: dict[str, Any]) -> Any:
    """Put what a schema refers to in its place: an endpoint's own schema has no room for names."""
    match schema:
        case {"$ref": str(reference)}:
            return _inlined(named[reference.rpartition("/")[2]], named)
        case dict():
            return {name: _inlined(value, named) for name, value in schema.items()}
        case list():
            return [_inlined(value, named) for value in schema]
    return schema
