# Sourced by scripts that need programs and libraries of Debian.

# Installs the package `$2` unless the command `$1` is there. If that is not possible, the script is
# skipped.
need() {
    command -v "$1" >/dev/null && return
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] ||
        { echo "skipped: $1 is not installed"; exit 0; }
    apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y "$2"
}

# The functions below unpack packages of another suite into a folder. They install nothing system-wide.

# Prepares `$2` for packages of the suite `$1`, and sets `apt_options` for apt-get. Fails if apt-get is
# not available, or has no mirror.
prepare_debian() {
    local suite=$1 folder=$2 mirror
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
    # Use the mirror that this machine is configured with.
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -v security | head -n 1 || true)
    [ -n "$mirror" ] || return 1
    rm -rf "$folder"
    mkdir -p "$folder"/{state/lists/partial,cache/archives/partial,root}
    : >"$folder/status"
    # The machine's keyring may be too old to have the keys of a newer suite, so signatures are not
    # checked. That is acceptable because the unpacked files only run tests.
    echo "deb [trusted=yes] $mirror $suite main" >"$folder/sources.list"
    apt_options=(-o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State=$folder/state" -o "Dir::State::status=$folder/status" -o "Dir::Cache=$folder/cache"
        -o APT::Architecture=amd64 -o APT::Architectures=amd64,arm64,riscv64
        -o APT::Sandbox::User=root -o APT::Install-Recommends=false)
}

# Unpacks what was downloaded into `$1/root`, and removes the archives.
unpack_debian() {
    local folder=$1 package
    for package in "$folder"/cache/archives/*.deb; do
        dpkg -x "$package" "$folder/root" || return 1
    done
    rm -rf "$folder/cache"
}
