import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from converter.triton_config import config_text


@pytest.mark.parametrize(("dim", "batch"), [(384, 32), (1, 1), (4096, 1024)])
def test_triton_reads_the_configuration_as_it_is_meant(dim, batch):
    text = config_text(label="a/b", model_name="a--b", dim=dim, max_batch_size=batch, max_queue_delay_us=500)
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert (config.name, config.backend, config.max_batch_size) == ("a--b", "onnxruntime", batch)
    assert [(each.name, each.data_type, list(each.dims)) for each in config.input] == [
        ("input_ids", model_config_pb2.TYPE_INT64, [-1]),
        ("attention_mask", model_config_pb2.TYPE_INT64, [-1]),
    ]
    assert [(each.name, each.data_type, list(each.dims)) for each in config.output] == [
        ("sentence_embedding", model_config_pb2.TYPE_FP32, [dim])
    ]
    assert config.dynamic_batching.max_queue_delay_microseconds == 500
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_AUTO
    assert config.parameters["labelbus_label"].string_value == "a/b"
