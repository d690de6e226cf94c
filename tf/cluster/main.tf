# An EKS cluster and what labelbus needs from AWS: nodes, image repositories, a shared model repository.

data "aws_availability_zones" "available" {
  state = "available"

  # Local Zones cannot host an EKS control plane.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

data "aws_caller_identity" "current" {}

locals {
  images = toset(["dispatcher", "worker", "logsink", "converter", "triton"])
  s3     = var.model_store == "s3"
  zones  = length(var.zones) > 0 ? var.zones : slice(data.aws_availability_zones.available.names, 0, var.zone_count)

  node_groups = merge(
    { cpu = merge(var.cpu_nodes, { gpu = false }) },
    var.gpu_nodes == null ? {} : { gpu = merge(var.gpu_nodes, { gpu = true }) },
  )

  addons = merge(
    {
      vpc-cni = {
        service_account = "aws-node"
        policy_arns     = { cni = "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy" }
        configuration   = jsonencode({ enableNetworkPolicy = "true" }) # or the chart's NetworkPolicies do nothing
        before_nodes    = true
      }
      kube-proxy     = { before_nodes = true }
      coredns        = {}
      metrics-server = {} # what an HPA reads
      aws-ebs-csi-driver = {
        service_account = "ebs-csi-controller-sa"
        policy_arns     = { ebs = "arn:aws:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy" }
      }
    },
    local.s3 ? {
      aws-mountpoint-s3-csi-driver = {
        service_account = "s3-csi-driver-sa"
        has_policy      = true
        inline_policy = jsonencode({
          Version = "2012-10-17"
          Statement = [
            { Effect = "Allow", Action = "s3:ListBucket", Resource = module.models.bucket_arn },
            { Effect = "Allow", Action = "s3:GetObject", Resource = "${module.models.bucket_arn}/*" },
            { Effect = "Allow", Action = "kms:Decrypt", Resource = aws_kms_key.this.arn },
          ]
        })
      }
    } : {},
    local.s3 ? {} : {
      aws-efs-csi-driver = {
        service_account = "efs-csi-controller-sa"
        policy_arns     = { efs = "arn:aws:iam::aws:policy/service-role/AmazonEFSCSIDriverPolicy" }
      }
    },
  )
}

# One key for Kubernetes secrets, images, models and the control plane's logs.
resource "aws_kms_key" "this" {
  description             = "${var.name}: secrets, images, models, logs"
  enable_key_rotation     = true
  deletion_window_in_days = 7

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TheAccountDecides"
        Effect    = "Allow"
        Action    = "kms:*"
        Principal = { AWS = "arn:aws:iam::${data.aws_caller_identity.current.account_id}:root" }
        Resource  = "*"
      },
      {
        Sid       = "ControlPlaneLogs"
        Effect    = "Allow"
        Action    = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
        Principal = { Service = "logs.${var.region}.amazonaws.com" }
        Resource  = "*"
        Condition = {
          ArnEquals = {
            "kms:EncryptionContext:aws:logs:arn" = "arn:aws:logs:${var.region}:${data.aws_caller_identity.current.account_id}:log-group:/aws/eks/${var.name}/cluster"
          }
        }
      },
    ]
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}

module "network" {
  source = "./modules/network"

  name               = var.name
  cidr               = var.vpc_cidr
  zones              = local.zones
  single_nat_gateway = var.single_nat_gateway
}

module "eks" {
  source = "./modules/eks"

  name               = var.name
  kubernetes_version = var.kubernetes_version
  subnet_ids         = values(module.network.private_subnet_ids)
  api_access_cidrs   = var.api_access_cidrs
  admin_role_arns    = var.admin_role_arns
  node_groups        = local.node_groups
  addons             = local.addons
  install_addons     = var.install_addons
  log_retention_days = var.log_retention_days
  kms_key_arn        = aws_kms_key.this.arn

  # Nodes need a route to the internet to join; on destroy they must be removed before it.
  depends_on = [module.network]
}

module "registry" {
  source = "./modules/registry"

  name         = var.name
  images       = local.images
  keep_images  = var.keep_images
  kms_key_arn  = aws_kms_key.this.arn
  force_delete = var.force_destroy
}

module "models" {
  source = "./modules/models"

  name                     = var.name
  store                    = var.model_store
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.private_subnet_ids
  client_security_group_id = module.eks.node_security_group_id
  kms_key_arn              = aws_kms_key.this.arn
  backups                  = var.backups
  force_destroy            = var.force_destroy
}
