# Plans with a mocked provider: no account, no network. `terraform test` in this folder.

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = {
      names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
    }
  }

  mock_data "aws_caller_identity" {
    defaults = {
      account_id = "123456789012"
    }
  }

  mock_data "aws_region" {
    defaults = {
      name = "eu-central-1"
    }
  }
}

variables {
  region           = "eu-central-1"
  api_access_cidrs = ["203.0.113.7/32"]
}

run "three_zones_share_the_range_and_one_nat_gateway" {
  command = plan

  assert {
    condition     = length(module.network.private_subnet_ids) == 3 && length(module.network.public_subnet_ids) == 3
    error_message = "a public and a private subnet in each zone"
  }
}

run "two_zones_will_do" {
  command = plan

  variables {
    zone_count = 2
  }

  assert {
    condition     = length(output.private_subnet_ids) == 2
    error_message = "two private subnets"
  }
}

run "named_zones_win" {
  command = plan

  variables {
    zones = ["eu-central-1c", "eu-central-1a"]
  }

  assert {
    condition     = toset(keys(output.private_subnet_ids)) == toset(["eu-central-1a", "eu-central-1c"])
    error_message = "the zones that were named"
  }
}

run "one_repository_an_image" {
  command = plan

  assert {
    condition     = toset(keys(output.repository_urls)) == toset(["dispatcher", "worker", "logsink", "converter", "triton"])
    error_message = "a repository for every image, and no other"
  }
}

run "no_gpu_unless_asked_for" {
  command = plan

  assert {
    condition     = output.helm_variables.gpu == false && toset(keys(local.node_groups)) == toset(["cpu"])
    error_message = "one group of nodes, without GPUs"
  }
}

run "gpu_nodes_make_a_second_group" {
  command = plan

  variables {
    gpu_nodes = { instance_types = ["g6.2xlarge"] }
  }

  assert {
    condition     = output.helm_variables.gpu && local.node_groups.gpu.gpu && local.node_groups.gpu.disk_gib == 150
    error_message = "a group with GPUs and room for Triton's image"
  }
}

run "efs_brings_its_driver_and_s3_its_own" {
  command = plan

  assert {
    condition     = contains(keys(local.addons), "aws-efs-csi-driver") && !contains(keys(local.addons), "aws-mountpoint-s3-csi-driver")
    error_message = "the EFS driver and not that of S3"
  }
}

run "s3_brings_its_driver" {
  command = apply # the bucket's name is known only then; the provider is mocked

  variables {
    model_store = "s3"
  }

  # A mocked provider gives made-up strings; these must be ARNs, or the provider's own checks refuse them.
  override_resource {
    target = aws_kms_key.this
    values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000" }
  }

  override_resource {
    target = module.eks.aws_iam_role.cluster
    values = { arn = "arn:aws:iam::123456789012:role/labelbus-cluster" }
  }

  override_resource {
    target = module.eks.aws_iam_role.node
    values = { arn = "arn:aws:iam::123456789012:role/labelbus-node" }
  }

  override_resource {
    target = module.eks.aws_iam_openid_connect_provider.this
    values = { arn = "arn:aws:iam::123456789012:oidc-provider/oidc.example/id" }
  }

  override_resource {
    target = module.eks.module.addon_role["vpc-cni"].aws_iam_role.this
    values = { arn = "arn:aws:iam::123456789012:role/labelbus-vpc-cni" }
  }

  override_resource {
    target = module.eks.module.addon_role["aws-ebs-csi-driver"].aws_iam_role.this
    values = { arn = "arn:aws:iam::123456789012:role/labelbus-aws-ebs-csi-driver" }
  }

  override_resource {
    target = module.eks.module.addon_role["aws-mountpoint-s3-csi-driver"].aws_iam_role.this
    values = { arn = "arn:aws:iam::123456789012:role/labelbus-aws-mountpoint-s3-csi-driver" }
  }

  override_resource {
    target = module.eks.aws_launch_template.node["cpu"]
    values = { id = "lt-0123456789abcdef0", latest_version = 1 }
  }

  override_resource {
    target = module.eks.aws_eks_cluster.this
    values = {
      arn                   = "arn:aws:eks:eu-central-1:123456789012:cluster/labelbus"
      endpoint              = "https://example.invalid"
      identity              = [{ oidc = [{ issuer = "https://oidc.example/id" }] }]
      certificate_authority = [{ data = "Y2E=" }]
    }
  }

  assert {
    condition     = !contains(keys(output.addon_role_arns), "aws-efs-csi-driver") && contains(keys(output.addon_role_arns), "aws-mountpoint-s3-csi-driver")
    error_message = "the S3 driver and not that of EFS"
  }

  assert {
    condition     = output.helm_variables.model_store.bucket != "" && output.helm_variables.model_store.file_system_id == ""
    error_message = "a bucket and no file system"
  }

  # What the driver may do: list and read this bucket, and nothing else.
  assert {
    condition     = toset([for statement in jsondecode(local.addons.aws-mountpoint-s3-csi-driver.inline_policy).Statement : statement.Action]) == toset(["s3:ListBucket", "s3:GetObject", "kms:Decrypt"])
    error_message = "read only"
  }
}
