# The model repository. EFS is a file system that many nodes write to, and a rename on it is atomic, which is what the
# converter publishes a model with. S3 through its CSI driver has no rename: there models are converted elsewhere,
# copied into the bucket, and only read in the cluster.

locals {
  efs = var.store == "efs"
}

# ── EFS ──────────────────────────────────────────────────────────────────────

resource "aws_efs_file_system" "this" {
  count = local.efs ? 1 : 0

  creation_token  = "${var.name}-models"
  encrypted       = true
  kms_key_id      = var.kms_key_arn
  throughput_mode = "elastic"

  lifecycle_policy {
    transition_to_ia = "AFTER_90_DAYS"
  }

  lifecycle_policy {
    transition_to_primary_storage_class = "AFTER_1_ACCESS"
  }

  tags = { Name = "${var.name}-models" }
}

resource "aws_efs_backup_policy" "this" {
  count = local.efs && var.backups ? 1 : 0

  file_system_id = aws_efs_file_system.this[0].id

  backup_policy {
    status = "ENABLED"
  }
}

resource "aws_security_group" "efs" {
  count = local.efs ? 1 : 0

  name        = "${var.name}-models"
  description = "NFS from the nodes to the model repository"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-models" }
}

resource "aws_vpc_security_group_ingress_rule" "efs" {
  count = local.efs ? 1 : 0

  security_group_id            = aws_security_group.efs[0].id
  referenced_security_group_id = var.client_security_group_id
  description                  = "NFS from the nodes"
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
}

resource "aws_efs_mount_target" "this" {
  for_each = local.efs ? var.subnet_ids : {}

  file_system_id  = aws_efs_file_system.this[0].id
  subnet_id       = each.value
  security_groups = [aws_security_group.efs[0].id]
}

# ── S3 ───────────────────────────────────────────────────────────────────────

resource "aws_s3_bucket" "this" {
  count = local.efs ? 0 : 1

  bucket_prefix = "${var.name}-models-"
  force_destroy = var.force_destroy
}

resource "aws_s3_bucket_public_access_block" "this" {
  count = local.efs ? 0 : 1

  bucket                  = aws_s3_bucket.this[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "this" {
  count = local.efs ? 0 : 1

  bucket = aws_s3_bucket.this[0].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  count = local.efs ? 0 : 1

  bucket = aws_s3_bucket.this[0].id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  count = local.efs ? 0 : 1

  bucket     = aws_s3_bucket.this[0].id
  depends_on = [aws_s3_bucket_versioning.this]

  rule {
    id     = "old versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 90
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 3
    }
  }
}
