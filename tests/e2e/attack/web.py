"""A small HTTP client with one connection that stays open."""

import socket


class Web:
    def __init__(self, server, headers="", source=None, device=None, timeout=10):
        self.server, self.headers = server, headers
        self.source, self.device, self.timeout = source, device, timeout
        self.stream = None

    def connect(self):
        stream = socket.socket()
        stream.settimeout(self.timeout)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.device:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.device.encode())
        if self.source:
            stream.bind((self.source, 0))
        stream.connect(self.server)
        self.stream, self.rest = stream, b""

    def request(self, method, path, body=None, headers=""):
        """Returns the status and the body of the response."""
        if self.stream is None:
            self.connect()
        host = f"{self.server[0]}:{self.server[1]}"
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        if "Host:" not in headers:
            headers += f"Host: {host}\r\n"
        head = f"{method} {path} HTTP/1.1\r\n{headers}{self.headers}{length}\r\n"
        self.stream.sendall(head.encode() + (body or b""))
        return self.response()

    def get(self, path, headers=""):
        return self.request("GET", path, headers=headers)

    def response(self):
        while b"\r\n\r\n" not in self.rest:
            self.receive()
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        lines = head.decode().lower().split("\r\n")
        length = next((int(line.split(":")[1]) for line in lines if line.startswith("content-length:")), 0)
        while len(self.rest) < length:
            self.receive()
        body, self.rest = self.rest[:length], self.rest[length:]
        if "connection: close" in lines:
            self.close()
        return int(lines[0].split()[1]), body.decode(errors="replace")

    def receive(self):
        part = self.stream.recv(65_536)
        if not part:
            self.close()
            raise ConnectionError("the server closed the connection")
        self.rest += part

    def close(self):
        if self.stream is not None:
            self.stream.close()
            self.stream = None
