variable "name" {
  description = "Prefix of the repositories: <name>/<image>."
  type        = string
}

variable "images" {
  description = "One repository for each."
  type        = set(string)
}

variable "keep_images" {
  description = "How many images a repository keeps."
  type        = number
}

variable "kms_key_arn" {
  description = "Key that encrypts the images."
  type        = string
}

variable "force_delete" {
  description = "Let destroy delete repositories that still hold images."
  type        = bool
}
