#!/bin/sh
# One-time set-up for `make`: a virtual environment with pinned packages, and the broker Mosquitto.
#
#   firmware_tools/setup.sh run VENV     what `make demo` and the programs need
#   firmware_tools/setup.sh test VENV    what `make check` and `make test` need on top of it
#   firmware_tools/setup.sh gstreamer VENV    what a camera over GStreamer needs
#   firmware_tools/setup.sh picamera2 VENV    what a Raspberry Pi's camera needs
#   firmware_tools/setup.sh report VENV  what `make model-report` needs on top of the first
#   firmware_tools/setup.sh train VENV   an environment of its own for rendering and training
#   firmware_tools/setup.sh export VENV  one for converting the trained network to TFLite
#   firmware_tools/setup.sh vm VENV      what `make test-vm` needs on top of that
#
# PYTHON names the interpreter (3.11 to 3.13); without it one is looked for. Made for Debian 12 and
# 13, Ubuntu 24.04 and Raspberry Pi OS, 64 bit, as root or as a user who may use sudo. What the
# tools print goes to build/setup.log; every failure is one line here.
set -eu

PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
log=build/setup.log
policy=/usr/sbin/policy-rc.d
policy_is_ours=no
pip_process=

say() { printf '%s\n' "$*"; }

fail() {
    printf 'set-up failed: %s\n' "$*" >&2
    exit 1
}

clean_up() {
    if [ -n "$pip_process" ]; then kill "$pip_process" 2>/dev/null || true; fi
    lift_policy
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# --- programs from the distribution ---------------------------------------------------------------

# Ends with one line unless apt-get is there and may be used; may ask for the sudo password.
need_apt() {
    command -v apt-get >/dev/null || fail "$* missing and no apt-get on this system: install by hand"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "$* missing: as root, apt-get install $*"
        sudo -v || fail "$* missing and sudo refused: as root, apt-get install $*"
    fi
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" </dev/null >>"$log" 2>&1
}

# The package lists are fetched only when the first try did not do: they may be old or missing.
apt_install() {
    need_apt "$@"
    say "  installing $* (apt-get)"
    apt_get install --no-install-recommends "$@" && return
    apt_get update || fail "apt-get update did not work (no network?): see $log"
    apt_get install --no-install-recommends "$@" || fail "apt-get install $* did not work: see $log"
}

lift_policy() {
    if [ "$policy_is_ours" = yes ]; then as_root rm -f "$policy"; fi
    policy_is_ours=no
}

# The demo and the tests start brokers of their own. So the package's system service, which would
# listen on port 1883 from now on, is neither started nor enabled when it is we who install it.
install_mosquitto() {
    if command -v mosquitto >/dev/null; then return; fi
    need_apt mosquitto
    if [ ! -e "$policy" ]; then
        policy_is_ours=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    apt_install mosquitto
    lift_policy
    if command -v systemctl >/dev/null; then
        as_root systemctl disable mosquitto.service >>"$log" 2>&1 || true
    elif command -v update-rc.d >/dev/null; then
        as_root update-rc.d mosquitto disable >>"$log" 2>&1 || true
    fi
    say "  its system service stays off (to turn it on: systemctl enable --now mosquitto)"
}

# --- Python ---------------------------------------------------------------------------------------

# "312" for Python 3.12; empty when "$1" is no Python that this project supports.
supported_version() {
    "$1" -c 'import struct, sys
v = sys.version_info[:2]
print("%d%d" % v if (3, 11) <= v <= (3, 13) and struct.calcsize("P") == 8 else "")' 2>/dev/null ||
        true
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null || fail "PYTHON=$PYTHON is not there"
        version=$(supported_version "$PYTHON")
        [ -n "$version" ] || fail "PYTHON=$PYTHON is not a 64-bit Python 3.11, 3.12 or 3.13"
        python=$PYTHON
        return
    fi
    for python in python3 /usr/bin/python3 python3.11 python3.12 python3.13; do
        version=$(supported_version "$python")
        if [ -n "$version" ]; then return; fi
    done
    if ! command -v python3 >/dev/null; then
        apt_install python3 python3-venv
        python=python3
        version=$(supported_version python3)
        if [ -n "$version" ]; then return; fi
    fi
    fail "no 64-bit Python 3.11, 3.12 or 3.13 here: install one and say PYTHON=/path/to/it"
}

make_environment() {
    if [ "$(supported_version "$venv/bin/python")" = "$version" ] &&
        [ -z "${PYTHON:-}" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        apt_install "python3.${version#3}-venv"
    fi
    say "  making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv" >>"$log" 2>&1 || fail "$python cannot make $venv: see $log"
}

# install_pins FILE: exactly the listed packages. The lists are complete, so nothing is resolved.
install_pins() {
    total=$(grep -c '==' "$1")
    before=$(wc -l <"$log")
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --no-deps \
        --only-binary=:all: --progress-bar off -r "$1" </dev/null >>"$log" 2>&1 &
    pip_process=$!
    if [ -t 1 ]; then
        while kill -0 "$pip_process" 2>/dev/null; do
            done_so_far=$(tail -n "+$((before + 1))" "$log" |
                grep -c -E '^(Collecting|Requirement already satisfied)' || true)
            printf '\r  Python packages of %s: %s of %s ' "$1" "$done_so_far" "$total"
            sleep 1
        done
        printf '\n'
    else
        say "  Python packages of $1: $total"
    fi
    wait "$pip_process" || {
        pip_process=
        reason=$(tail -n "+$((before + 1))" "$log" | grep '^ERROR' | tail -n 1 || true)
        fail "pip could not install $1 (${reason:-no reason given}): with network, try again; see $log"
    }
    pip_process=
}

install_ourselves() {
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --no-deps \
        --no-build-isolation --no-index --editable . </dev/null >>"$log" 2>&1 ||
        fail "the project itself could not be installed into $venv: see $log"
    if grep -q '^include-system-site-packages = true' "$venv/pyvenv.cfg"; then
        return # what else the system's Python holds need not fit
    fi
    "$venv/bin/python" -m pip check >>"$log" 2>&1 || fail "the packages do not fit together: see $log"
}

# --- the two set-ups ------------------------------------------------------------------------------

set_up_run() {
    case $(uname -s)-$(uname -m) in
    Linux-x86_64 | Linux-aarch64) ;;
    *) fail "this is $(uname -s) on $(uname -m); Linux on x86_64 or aarch64 (64 bit) is needed" ;;
    esac
    say "Setting up, once (the log is $log)"
    install_mosquitto
    find_python
    make_environment
    install_pins "requirements/py$version.txt"
    install_pins requirements/tools.txt
    install_ourselves
    "$venv/bin/python" -c 'import av, cryptography, google_crc32c, msgspec, numpy, onnxruntime
import gpiod, paho.mqtt, pyrage, zmq
try:
    import tflite_runtime.interpreter
except ImportError:
    import ai_edge_litert.interpreter' >>"$log" 2>&1 || fail "a Python package does not load: see $log"
    say "Set up."
}

set_up_test() {
    say "Setting up for the tests, once (the log is $log)"
    for program in age ffmpeg strace; do
        command -v "$program" >/dev/null || apt_install "$program"
    done
    command -v cc >/dev/null || apt_install gcc libc6-dev # a TFLite delegate is compiled
    if is_system_python; then
        set_up_gstreamer
    else
        say "  no GStreamer for $("$venv/bin/python" --version): tests of its cameras are skipped"
    fi
    install_pins requirements/dev.txt
    install_pins requirements/report.txt
    "$venv/bin/python" -m pip check >>"$log" 2>&1 || fail "the packages do not fit together: see $log"
    say "Set up for the tests."
}

# PyGObject has no wheels and must fit both Python and GStreamer, so it is the distribution's own.
# That one package is linked into the environment; the rest of the system's stays outside.
system_packages=/usr/lib/python3/dist-packages

# Whether the environment's Python loads what the distribution built for its own.
is_system_python() {
    tag=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_config_var("SOABI"))')
    [ -x /usr/bin/python3 ] &&
        [ "$tag" = "$(/usr/bin/python3 -c 'import sysconfig; print(sysconfig.get_config_var("SOABI"))')" ]
}

set_up_gstreamer() {
    is_system_python || fail "PyGObject is there for the system's own Python only: make setup PYTHON=/usr/bin/python3, then again"
    imports='import gi
for name in ("Gst", "GstApp", "GstVideo"): gi.require_version(name, "1.0")
from gi.repository import Gst
Gst.init(None)
missing = [name for name in ("appsink", "h264parse", "jpegdec", "v4l2src", "videoscale", "x264enc")
           if Gst.ElementFactory.find(name) is None]
assert not missing, missing'
    packages="python3-gi gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-base
        gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly"
    if ! "$venv/bin/python" -c "$imports" >>"$log" 2>&1; then
        # shellcheck disable=SC2086
        [ -d "$system_packages/gi" ] && dpkg -s $packages >/dev/null 2>&1 || apt_install $packages
        site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
        ln -sfn "$system_packages/gi" "$site/gi"
        "$venv/bin/python" -c "$imports" >>"$log" 2>&1 ||
            fail "GStreamer does not load: see $log"
    fi
    say "  GStreamer is there for $venv"
}

# picamera2 and libcamera change together and with the kernel, so on a Raspberry Pi they are the
# distribution's own, with a dozen packages that they need: the environment opens to all of these.
set_up_picamera2() {
    is_system_python || fail "picamera2 is there for the system's own Python only: make setup PYTHON=/usr/bin/python3, then again"
    dpkg -s python3-picamera2 >/dev/null 2>&1 || apt-cache show python3-picamera2 >/dev/null 2>&1 ||
        fail "this distribution has no python3-picamera2: a Raspberry Pi's camera needs Raspberry Pi OS"
    dpkg -s python3-picamera2 >/dev/null 2>&1 || apt_install python3-picamera2
    sed -i 's/^include-system-site-packages = .*/include-system-site-packages = true/' \
        "$venv/pyvenv.cfg"
    "$venv/bin/python" -c 'from picamera2 import Picamera2' >>"$log" 2>&1 ||
        fail "picamera2 does not load: see $log"
    say "  picamera2 is there for $venv"
}

set_up_report() {
    install_pins requirements/report.txt
    "$venv/bin/python" -m pip check >>"$log" 2>&1 || fail "the packages do not fit together: see $log"
}

# The training and converting packages are pinned for Python 3.11 alone.
make_environment_311() {
    asked=${PYTHON:-}
    PYTHON=${asked:-python3.11}
    find_python
    PYTHON=$asked
    [ "$version" = 311 ] || fail "training needs Python 3.11, $python is another: say PYTHON=/path/to/it"
    make_environment
}

set_up_train() {
    say "Setting up for training, once (the log is $log)"
    make_environment_311
    for pins in py311 dev train; do
        install_pins "requirements/$pins.txt"
    done
    "$venv/bin/python" -c 'import av, cv2, torch, vizdoom' >>"$log" 2>&1 ||
        fail "a Python package does not load: see $log"
    say "Set up for training."
}

set_up_export() {
    say "Setting up the TFLite converter, once (the log is $log)"
    make_environment_311
    install_pins requirements/export.txt
    "$venv/bin/python" -c 'import ai_edge_quantizer, litert_torch' >>"$log" 2>&1 ||
        fail "a Python package does not load: see $log"
    say "Set up the converter."
}

set_up_fuzz() {
    [ "$(uname -m)" = x86_64 ] ||
        fail "this is $(uname -m); atheris, the fuzzer, has packages for x86_64 alone (make test fuzzes a little without it)"
    install_pins requirements/fuzz.txt
}

# The guest machine of `make test-vm`: its emulator, and what makes its root of Debian's packages.
set_up_vm() {
    say "Setting up for the guest machine, once (the log is $log)"
    command -v qemu-system-aarch64 >/dev/null || apt_install qemu-system-arm
    command -v mmdebstrap >/dev/null || apt_install mmdebstrap debian-archive-keyring
    command -v fdtput >/dev/null || apt_install device-tree-compiler
    say "Set up for the guest machine."
}

usage="usage: firmware_tools/setup.sh run|test|gstreamer|picamera2|report|train|export|fuzz|vm VENV"
[ $# -eq 2 ] || fail "$usage"
venv=$2
cd "$(dirname "$0")/.."
mkdir -p build
date >>"$log"
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
case $1 in
run) set_up_run ;;
test) set_up_test ;;
gstreamer) set_up_gstreamer ;;
picamera2) set_up_picamera2 ;;
report) set_up_report ;;
train) set_up_train ;;
export) set_up_export ;;
fuzz) set_up_fuzz ;;
vm) set_up_vm ;;
*) fail "$usage" ;;
esac
