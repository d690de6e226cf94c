# Plans with a mocked provider. The real helm provider, or one with its schema, must be installed.

mock_provider "helm" {}

variables {
  region                        = "eu-central-1"
  cluster_name                  = "labelbus"
  cluster_endpoint              = "https://example.invalid"
  cluster_certificate_authority = "Y2E="
  image_tag                     = "0.1.0"
  repository_urls = {
    dispatcher = "example.invalid/labelbus/dispatcher"
    worker     = "example.invalid/labelbus/worker"
    logsink    = "example.invalid/labelbus/logsink"
    converter  = "example.invalid/labelbus/converter"
  }
  model_store = { kind = "efs", file_system_id = "fs-0123456789abcdef0" }
}

run "efs_makes_a_storage_class_and_keeps_the_converter" {
  command = plan

  assert {
    condition     = local.values.converter.enabled && yamldecode(local.values.extraObjects[1]).parameters.fileSystemId == "fs-0123456789abcdef0"
    error_message = "a storage class on the file system"
  }

  assert {
    condition     = local.values.models.persistence.storageClass == yamldecode(local.values.extraObjects[1]).metadata.name
    error_message = "the claim asks for that class"
  }

  assert {
    condition     = length(helm_release.labelbus.values) == 3
    error_message = "the values of EKS, of high availability, and the cluster's"
  }
}

run "s3_is_read_only_and_has_no_converter" {
  command = plan

  variables {
    model_store = { kind = "s3", bucket = "labelbus-models-1" }
  }

  assert {
    condition     = !local.values.converter.enabled && yamldecode(local.values.extraObjects[1]).spec.csi.volumeAttributes.bucketName == "labelbus-models-1"
    error_message = "a volume on the bucket, and nobody who would write there"
  }

  assert {
    condition     = local.values.models.persistence.existingClaim == yamldecode(local.values.extraObjects[2]).metadata.name
    error_message = "the workers mount that claim"
  }
}

run "gpu_and_no_high_availability" {
  command = plan

  variables {
    gpu               = true
    high_availability = false
  }

  assert {
    condition     = length(helm_release.labelbus.values) == 3 && strcontains(helm_release.labelbus.values[1], "nvidia.com/gpu")
    error_message = "the values of GPUs, not those of high availability"
  }
}

run "a_tag_that_moves" {
  command = plan

  variables {
    image_tag = "latest"
  }

  expect_failures = [var.image_tag]
}

run "efs_without_a_file_system" {
  command = plan

  variables {
    model_store = { kind = "efs" }
  }

  expect_failures = [var.model_store]
}

run "a_missing_repository" {
  command = plan

  variables {
    repository_urls = { dispatcher = "example.invalid/labelbus/dispatcher" }
  }

  expect_failures = [var.repository_urls]
}

run "no_workers" {
  command = plan

  variables {
    workers = 0
  }

  expect_failures = [var.workers]
}

run "the_gateway_is_called_as_the_chart_calls_it" {
  command = plan

  variables {
    release_name = "team-labelbus"
  }

  assert {
    condition     = strcontains(output.next_steps, "deployment/team-labelbus-dispatcher 8080")
    error_message = "a release whose name has labelbus in it has it once"
  }
}

run "another_release" {
  command = plan

  variables {
    release_name = "n"
  }

  assert {
    condition     = strcontains(output.next_steps, "deployment/n-labelbus-dispatcher 8080")
    error_message = "any other has it appended"
  }
}

run "a_namespace_that_is_none" {
  command = plan

  variables {
    namespace = "Label Bus"
  }

  expect_failures = [var.namespace]
}

run "values_that_are_none" {
  command = plan

  variables {
    extra_values = ["just a sentence"]
  }

  expect_failures = [var.extra_values]
}
