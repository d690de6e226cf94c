"""The text of a model's config.pbtxt, for the official onnxruntime backend and for labelbus' local one."""

from typing import Final

INPUTS: Final = ("input_ids", "attention_mask")
OUTPUT: Final = "sentence_embedding"

_INPUT = """  {{
    name: "{name}"
    data_type: TYPE_INT64
    dims: [ -1 ]
  }}"""

_CONFIG = """name: "{model_name}"
backend: "onnxruntime"
max_batch_size: {max_batch_size}
input [
{inputs}
]
output [
  {{
    name: "{output}"
    data_type: TYPE_FP32
    dims: [ {dim} ]
  }}
]
dynamic_batching {{
  max_queue_delay_microseconds: {max_queue_delay_us}
}}
instance_group [
  {{
    count: 1
    kind: KIND_AUTO
  }}
]
parameters {{
  key: "labelbus_label"
  value: {{ string_value: "{label}" }}
}}
"""


def config_text(*, label: str, model_name: str, dim: int, max_batch_size: int, max_queue_delay_us: int) -> str:
    """Return the configuration of a graph input_ids, attention_mask [batch, tokens] -> sentence_embedding [batch, dim].

    Triton merges only requests of one length; the queue delay (microseconds) is the longest wait of a lone request.
    """
    return _CONFIG.format(
        label=label,
        model_name=model_name,
        max_batch_size=max_batch_size,
        inputs=",\n".join(_INPUT.format(name=name) for name in INPUTS),
        output=OUTPUT,
        dim=dim,
        max_queue_delay_us=max_queue_delay_us,
    )
