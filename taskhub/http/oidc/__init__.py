"""The keys of issuers that publish them (OpenID Connect discovery): fetched, kept, renewed."""
