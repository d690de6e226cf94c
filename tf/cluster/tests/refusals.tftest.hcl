# What the variables refuse, each with a sentence.

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = {
      names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
    }
  }
}

variables {
  region           = "eu-central-1"
  api_access_cidrs = []
}

run "a_region_that_is_none" {
  command = plan

  variables {
    region = "Frankfurt"
  }

  expect_failures = [var.region]
}

run "a_name_that_cannot_be_part_of_a_bucket" {
  command = plan

  variables {
    name = "Label_Bus"
  }

  expect_failures = [var.name]
}

run "an_api_open_to_the_whole_internet" {
  command = plan

  variables {
    api_access_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.api_access_cidrs]
}

run "a_public_address_range" {
  command = plan

  variables {
    vpc_cidr = "8.8.0.0/16"
  }

  expect_failures = [var.vpc_cidr]
}

run "an_address_range_too_small_for_pods" {
  command = plan

  variables {
    vpc_cidr = "10.42.0.0/24"
  }

  expect_failures = [var.vpc_cidr]
}

run "four_zones" {
  command = plan

  variables {
    zone_count = 4
  }

  expect_failures = [var.zone_count]
}

run "the_same_zone_twice" {
  command = plan

  variables {
    zones = ["eu-central-1a", "eu-central-1a"]
  }

  expect_failures = [var.zones]
}

run "a_kubernetes_without_native_sidecars" {
  command = plan

  variables {
    kubernetes_version = "1.28"
  }

  expect_failures = [var.kubernetes_version]
}

run "more_nodes_wanted_than_allowed" {
  command = plan

  variables {
    cpu_nodes = { desired_size = 9, max_size = 3 }
  }

  expect_failures = [var.cpu_nodes]
}

run "a_gpu_group_of_machines_without_gpus" {
  command = plan

  variables {
    gpu_nodes = { instance_types = ["m7i.xlarge"] }
  }

  expect_failures = [var.gpu_nodes]
}

run "a_model_store_that_is_none" {
  command = plan

  variables {
    model_store = "nfs"
  }

  expect_failures = [var.model_store]
}

run "an_administrator_who_is_no_role" {
  command = plan

  variables {
    admin_role_arns = ["arn:aws:iam::123456789012:user/somebody"]
  }

  expect_failures = [var.admin_role_arns]
}

run "one_image_leaves_nothing_to_roll_back_to" {
  command = plan

  variables {
    keep_images = 1
  }

  expect_failures = [var.keep_images]
}

run "a_retention_that_cloudwatch_does_not_know" {
  command = plan

  variables {
    log_retention_days = 42
  }

  expect_failures = [var.log_retention_days]
}
