"""Webhooks: subscriptions, deliveries, and the breaker of each."""
