#!/bin/sh
# Runs the camera tests on real picamera2 and libcamera: in a Debian 13 root, made once.
#
#   tests/camera_root/run.sh ROOT [pytest arguments]
#
# As root or as a user who may use sudo: it makes a chroot. The root is made anew when what
# it is made of changed. What the tools print goes to build/camera-root.log.
set -eu

suite=trixie # Debian 13; its backports have libcamera 0.7, its own 0.4 hangs in the virtual camera
system_packages="ca-certificates gcc libc6-dev libcap-dev linux-libc-dev python3-dev python3-venv
    libcamera0.7/$suite-backports libcamera-ipa/$suite-backports python3-libcamera/$suite-backports"
test_packages="hypothesis iniconfig pluggy pygments pytest sortedcontainers"

here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
root=$1
shift
log=$source/build/camera-root.log
mkdir -p "$source/build"

fail() {
    printf 'camera root: %s\n' "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo --preserve-env "$@"; fi
}

in_root() {
    as_root unshare --mount --propagation private -- sh -eu -c '
        root=$1 source=$2
        shift 2
        for folder in proc sys dev; do mount --rbind "/$folder" "$root/$folder"; done
        mkdir -p "$root/src"
        mount --bind -o ro "$source" "$root/src"
        mount -t tmpfs tmpfs "$root/src/build" # what the tests write
        exec chroot "$root" "$@"' sh "$root" "$source" "$@"
}

# The mirror that this machine itself uses.
mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' |
        head -n 1
}

make_root() {
    printf 'camera root: making %s, once (about 3 minutes; the log is %s)\n' "$root" "$log"
    command -v mmdebstrap >/dev/null ||
        as_root apt-get -q -y -o DPkg::Lock::Timeout=300 install mmdebstrap >>"$log" 2>&1 ||
        fail "mmdebstrap cannot be installed: see $log"
    from=$(mirror)
    [ -n "$from" ] || fail "no Debian mirror among this machine's apt sources (apt-get update?)"
    as_root rm -rf "$root"
    as_root mmdebstrap --mode=root --variant=minbase \
        --include="$(echo $system_packages | tr ' ' ',')" "$suite" "$root" \
        "deb $from $suite main" "deb $from $suite-backports main" >>"$log" 2>&1 ||
        fail "mmdebstrap did not work: see $log"
    # Whatever this machine trusts to fetch packages with, the root trusts too.
    as_root cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    as_root mkdir -p "$root/usr/share/libcamera/pipeline/virtual" "$root/opt/pins"
    as_root cp "$here/virtual.yaml" "$root/usr/share/libcamera/pipeline/virtual/"
    for name in $test_packages; do grep "^$name==" "$source/requirements/dev.txt"; done |
        as_root tee "$root/opt/pins/test.txt" >/dev/null
    as_root cp "$source/requirements/py313.txt" "$source/requirements/picamera2.txt" \
        "$root/opt/pins/"
    in_root sh -eu -c '
        python3 -m venv --system-site-packages /opt/venv
        for pins in py313 picamera2 test; do
            /opt/venv/bin/pip install --disable-pip-version-check --no-input --no-deps \
                -r "/opt/pins/$pins.txt"
        done
        gcc -shared -fPIC -O1 -Wall -Werror -o /opt/dma_stand_in.so \
            /src/tests/camera_root/dma_stand_in.c -ldl' >>"$log" 2>&1 ||
        fail "the Python packages cannot be installed: see $log"
}

wanted=$({
    echo "$suite" $system_packages $test_packages
    cat "$here"/dma_stand_in.c "$here"/virtual.yaml "$source"/requirements/py313.txt \
        "$source"/requirements/picamera2.txt
} | sha256sum)
if [ "$(cat "$root/opt/made-of" 2>/dev/null)" != "$wanted" ]; then
    make_root
    printf '%s\n' "$wanted" | as_root tee "$root/opt/made-of" >/dev/null
fi
# The warnings are those of picamera2 about itself.
in_root env LD_PRELOAD=/opt/dma_stand_in.so LIBCAMERA_LOG_LEVELS='*:ERROR' \
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/src HOME=/root \
    sh -c 'cd /src && exec /opt/venv/bin/python -m pytest -p no:cacheprovider \
        -p tests.camera_root.adaptations -W ignore::ResourceWarning -W ignore::DeprecationWarning \
        -W ignore::pytest.PytestUnraisableExceptionWarning "$@"' sh "$@"
