output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "One private subnet a zone, by zone."
  value       = { for zone, subnet in aws_subnet.private : zone => subnet.id }
}

output "public_subnet_ids" {
  description = "One public subnet a zone, by zone."
  value       = { for zone, subnet in aws_subnet.public : zone => subnet.id }
}
