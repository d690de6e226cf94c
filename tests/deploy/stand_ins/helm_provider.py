"""The schema of the helm provider, version 3, as far as tf/helm uses it: nothing is ever installed with it.

Terraform starts it like any provider. What is not in the schema is refused by `terraform validate`, as the real one
would; attributes that the real one nests are objects here, which read the same.
"""

import json
from typing import Any

from tf.iface import Provider, Resource

from tf import runner, schema, types


class Struct(types.TfType):  # type: ignore[misc]
    """An object type: every attribute may be left out."""

    def __init__(self, **attributes: Any) -> None:
        self.attributes = attributes

    def encode(self, value: Any) -> Any:
        return value

    def decode(self, value: Any) -> Any:
        return value

    def semantically_equal(self, a_decoded: Any, b_decoded: Any) -> bool:
        return bool(a_decoded == b_decoded)

    def tf_type(self) -> bytes:
        shape = {name: json.loads(kind.tf_type()) for name, kind in self.attributes.items()}
        return json.dumps(["object", shape]).encode()


TEXT, FLAG, NUMBER = types.String(), types.Bool(), types.Number()

KUBERNETES = Struct(
    host=TEXT,
    cluster_ca_certificate=TEXT,
    exec=Struct(api_version=TEXT, command=TEXT, args=types.List(TEXT)),
)

RELEASE = {
    "name": TEXT,
    "namespace": TEXT,
    "create_namespace": FLAG,
    "chart": TEXT,
    "repository": TEXT,
    "version": TEXT,
    "dependency_update": FLAG,
    "wait": FLAG,
    "wait_for_jobs": FLAG,
    "atomic": FLAG,
    "cleanup_on_fail": FLAG,
    "timeout": NUMBER,
    "max_history": NUMBER,
    "values": types.List(TEXT),
}


class Release(Resource):  # type: ignore[misc]
    """`helm_release`."""

    @classmethod
    def get_name(cls) -> str:
        return "release"

    @classmethod
    def get_schema(cls) -> Any:
        required = ("name", "chart")
        attributes = [
            schema.Attribute(name, kind, required=name in required, optional=name not in required)
            for name, kind in RELEASE.items()
        ]
        return schema.Schema(attributes=[*attributes, schema.Attribute("id", TEXT, computed=True)])

    def __init__(self, provider: Any) -> None:
        self.provider = provider

    def create(self, ctx: Any, planned: Any) -> Any:
        return self._refuse()

    def read(self, ctx: Any, current: Any) -> Any:
        return self._refuse()

    def update(self, ctx: Any, current: Any, planned: Any) -> Any:
        return self._refuse()

    def delete(self, ctx: Any, current: Any) -> Any:
        return self._refuse()

    def _refuse(self) -> Any:
        raise NotImplementedError("a stand-in for `terraform validate` and mocked tests installs nothing")


class Helm(Provider):  # type: ignore[misc]
    """The provider."""

    def get_model_prefix(self) -> str:
        return "helm_"

    def full_name(self) -> str:
        return "hashicorp/helm"

    def get_provider_schema(self, _: Any) -> Any:
        return schema.Schema(attributes=[schema.Attribute("kubernetes", KUBERNETES, optional=True)])

    def validate_config(self, diags: Any, config: Any) -> None:
        """Any."""

    def configure_provider(self, diags: Any, config: Any) -> None:
        """Nothing to connect to."""

    def get_data_sources(self) -> list[Any]:
        return []

    def get_resources(self) -> list[Any]:
        return [Release]


if __name__ == "__main__":
    runner.run_provider(Helm())
