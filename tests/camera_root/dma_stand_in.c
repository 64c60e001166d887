/* Stands in for the kernel's dma-buf devices, which a chroot or a container does not have: buffers
 * are plain memory. libcamera's virtual camera allocates by /dev/udmabuf, picamera2 by
 * /dev/dma_heap. For LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

static int stands_in_for(const char *path) {
    return strcmp(path, "/dev/udmabuf") == 0 || strncmp(path, "/dev/dma_heap/", 14) == 0;
}

#define OPEN(name)                                                     \
    int name(const char *path, int flags, ...) {                       \
        va_list rest;                                                  \
        va_start(rest, flags);                                         \
        mode_t mode = va_arg(rest, mode_t);                            \
        va_end(rest);                                                  \
        if (stands_in_for(path))                                       \
            return memfd_create("dma-device", MFD_CLOEXEC);            \
        int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #name); \
        return real(path, flags, mode);                                \
    }
OPEN(open)
OPEN(open64)

int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (request == UDMABUF_CREATE) {
        const struct udmabuf_create *wanted = argument;
        return fcntl(wanted->memfd, F_DUPFD_CLOEXEC, 0);
    }
    if (request == DMA_HEAP_IOCTL_ALLOC) {
        struct dma_heap_allocation_data *wanted = argument;
        int memory = memfd_create("dma-buffer", MFD_CLOEXEC);
        if (memory < 0 || ftruncate(memory, (off_t)wanted->len) != 0)
            return -1;
        wanted->fd = (unsigned)memory;
        return 0;
    }
    if (request == DMA_BUF_IOCTL_SYNC || request == DMA_BUF_SET_NAME_A ||
        request == DMA_BUF_SET_NAME_B)
        return 0;
    int (*real)(int, unsigned long, void *) = dlsym(RTLD_NEXT, "ioctl");
    return real(fd, request, argument);
}
