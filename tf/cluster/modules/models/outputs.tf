output "file_system_id" {
  description = "The EFS file system, ready to be mounted; empty with store = s3."
  value       = local.efs ? aws_efs_file_system.this[0].id : ""
  depends_on  = [aws_efs_mount_target.this, aws_vpc_security_group_ingress_rule.efs]
}

output "bucket" {
  description = "The S3 bucket; empty with store = efs."
  value       = local.efs ? "" : aws_s3_bucket.this[0].id
}

output "bucket_arn" {
  description = "The S3 bucket's ARN; empty with store = efs."
  value       = local.efs ? "" : aws_s3_bucket.this[0].arn
}
