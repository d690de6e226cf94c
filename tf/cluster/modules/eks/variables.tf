variable "name" {
  description = "Name of the cluster and prefix of every other name."
  type        = string
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, for the control plane's network interfaces and the nodes."
  type        = list(string)
}

variable "api_access_cidrs" {
  description = "Who may reach the API server from outside the VPC; none makes it private."
  type        = set(string)
}

variable "admin_role_arns" {
  description = "Further IAM roles that administer the cluster, beside the one that creates it."
  type        = set(string)
}

variable "node_groups" {
  description = "Node groups by name."
  type = map(object({
    instance_types = list(string)
    capacity_type  = string
    min_size       = number
    desired_size   = number
    max_size       = number
    disk_gib       = number
    gpu            = bool
  }))
}

variable "addons" {
  description = "EKS add-ons by name: their service account in kube-system and that account's policies; configuration as JSON."
  type = map(object({
    service_account = optional(string)
    policy_arns     = optional(map(string), {})
    inline_policy   = optional(string)
    has_policy      = optional(bool, false)
    configuration   = optional(string)
    before_nodes    = optional(bool, false)
  }))
}

variable "install_addons" {
  description = "False leaves the add-ons out but makes their roles."
  type        = bool
}

variable "log_retention_days" {
  description = "How long the control plane's logs are kept."
  type        = number
}

variable "kms_key_arn" {
  description = "Key that encrypts Kubernetes secrets and the control plane's logs."
  type        = string
}
