# Read by the commands in deploy/: finds a Python (3.11 or newer), then install.py does the rest.
# Usage: . bootstrap.sh; bootstrap NEEDS... -- MODULE ARGUMENTS...
bootstrap() {
    here=$(dirname "$(readlink -f "$0")")
    python=$(command -v python3) || python=
    if [ -z "$python" ]; then
        if [ "$(id -u)" = 0 ]; then root=; else root=sudo; fi
        echo "  Installing python3 ..." >&2
        if ! { $root apt-get -qq update && $root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends python3 python3-venv; } >&2; then
            echo "Python is missing; run \`apt-get install python3 python3-venv\` as root, then this again." >&2
            exit 2
        fi
        python=python3
    fi
    exec "$python" "$here/stack/install.py" "$@"
}
