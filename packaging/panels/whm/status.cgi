#!/bin/sh
# The page in WHM. AppConfig admits users with the privilege "all"; the script checks again, because
# cpsrvd runs it as root.
set -u
if [ "${REMOTE_USER:-}" != root ] || [ "${REQUEST_METHOD:-GET}" != GET ]; then
  printf 'Status: 403 Forbidden\r\nContent-Type: text/plain\r\n\r\nOnly root may read this page.\n'
  exit 0
fi
printf 'Content-Type: text/html; charset=utf-8\r\n'
printf "Content-Security-Policy: default-src 'none'; frame-ancestors 'self'\r\n\r\n"
exec "$(dirname "$0")/page"
