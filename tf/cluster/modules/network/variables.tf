variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "cidr" {
  description = "Address range of the VPC, a /16 to a /20."
  type        = string
}

variable "zones" {
  description = "Availability zones, one public and one private subnet in each."
  type        = list(string)
}

variable "single_nat_gateway" {
  description = "One NAT gateway for all zones: a third of the cost, and no route to the internet if its zone is down."
  type        = bool
}
