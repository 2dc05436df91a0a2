"""OAuth 2.0 for a public client: device authorization (RFC 8628) with PKCE (RFC 7636)."""
