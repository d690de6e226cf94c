variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "store" {
  description = "Storage of the models. efs: read and written by the cluster. s3: written from outside, read by the cluster."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets by zone, each of which gets a mount target."
  type        = map(string)
}

variable "client_security_group_id" {
  description = "Security group of the nodes."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that encrypts the models."
  type        = string
}

variable "force_destroy" {
  description = "Let destroy delete a bucket that still holds models."
  type        = bool
}

variable "backups" {
  description = "Back the EFS file system up every day with AWS Backup."
  type        = bool
}
