"""ALLOWED_HOSTS, read by programs that send the application a request."""


def first(allowed: str) -> str:
    """A host name that the application answers to, of the comma-separated value of ALLOWED_HOSTS.

    Patterns (`*`, and `.example.org` for a domain with its subdomains) count as a name that they match.
    """
    names = [name.strip() for name in allowed.split(",")]
    return next((name.lstrip(".") for name in names if name.strip("*.")), "localhost")
