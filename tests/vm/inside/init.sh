#!/bin/busybox sh
# The first program of a guest: mounts, modules, the tests, their results, and off.
export PATH=/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1
busybox mount -t devtmpfs dev /dev
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t tmpfs tmp /tmp
exec </dev/console >/dev/console 2>&1
for module in /modules/*; do busybox insmod "$module" || echo "no $module"; done
for port in /sys/class/virtio-ports/*; do
    case $(busybox cat "$port/name") in
    results) results=/dev/${port##*/} ;;
    wires) export SIGHTLINE_WIRES=/dev/${port##*/} ;;
    esac
done
cd /repository || exit 1
PYTHONPATH=/repository:/packages python3 -m pytest --noconftest -p no:cacheprovider \
    --junitxml=/tmp/results.xml $(busybox cat /tests)
busybox cat /tmp/results.xml >"$results"
busybox poweroff -f
