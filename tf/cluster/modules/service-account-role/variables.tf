variable "name" {
  description = "Name of the role."
  type        = string
}

variable "oidc_provider_arn" {
  description = "The cluster's OIDC provider in IAM."
  type        = string
}

variable "oidc_issuer" {
  description = "The cluster's OIDC issuer without https://."
  type        = string
}

variable "namespace" {
  description = "Namespace of the service account."
  type        = string
}

variable "service_account" {
  description = "The only service account that may assume this role."
  type        = string
}

variable "policy_arns" {
  description = "Managed policies, by a name of your choice."
  type        = map(string)
  default     = {}
}

variable "inline_policy" {
  description = "A policy document of this role's own, as JSON; null for none."
  type        = string
  default     = null
}

variable "has_inline_policy" {
  description = "True if inline_policy is given: its text may not be known while planning."
  type        = bool
  default     = false
}
