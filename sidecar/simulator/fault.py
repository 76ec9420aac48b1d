"""The error that a call is answered by. Source: https://core.telegram.org/api/errors."""


class RpcFault(Exception):
    """Raised while a call is executed, to answer it with rpc_error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
