/* A TFLite delegate for tests: it runs RESHAPE, or takes nothing, as its option "take" says.
 *
 * The structures are those of TensorFlow Lite's C interface (core/c/common.h), as far as they are
 * used here; the interface keeps their layout stable. Registration is given room for newer fields.
 */
#include <stdint.h>
#include <string.h>

enum { OK = 0, ERROR = 1, RESHAPE = 22, MOST = 64 };

typedef struct { int size; int items[]; } IntArray;
typedef struct { int type; void *bytes_at; IntArray *dims; float scale; int32_t zero_point;
                 int allocation; size_t bytes; void *rest[8]; } Tensor;
typedef struct { IntArray *inputs, *outputs; } Node;
struct Context;
typedef struct { void *init, *free, *prepare; int (*invoke)(struct Context *, Node *);
                 void *profiling; int32_t builtin_code; const char *custom_name; int version;
                 void *rest[8]; } Registration;
typedef struct Delegate { void *own; int (*prepare)(struct Context *, struct Delegate *);
                          void *from, *to, *release; int64_t flags; void *opaque; } Delegate;
typedef struct Context {
  size_t tensor_count;
  int (*plan)(struct Context *, IntArray **);
  Tensor *tensors;
  void *own, *resize, *report, *add;
  int (*node)(struct Context *, int, Node **, Registration **);
  int (*replace)(struct Context *, Registration, const IntArray *, Delegate *);
} Context;

static int copy_through(Context *context, Node *node) {
  /* The kernel's inputs come in the order of the graph: the shape is a constant of 8 bytes. */
  Tensor *out = &context->tensors[node->outputs->items[0]];
  for (int i = 0; i < node->inputs->size; i++) {
    Tensor *in = &context->tensors[node->inputs->items[i]];
    if (in->type == out->type) memcpy(out->bytes_at, in->bytes_at, out->bytes);
  }
  return OK;
}

static int take_reshapes(Context *context, Delegate *delegate) {
  struct { int size; int items[MOST]; } chosen = {0};
  IntArray *plan;
  Node *node;
  Registration *kind, kernel = {.invoke = copy_through, .custom_name = "test", .version = 1};
  if (context->plan(context, &plan) != OK) return ERROR;
  for (int i = 0; i < plan->size && chosen.size < MOST; i++) {
    if (context->node(context, plan->items[i], &node, &kind) != OK) return ERROR;
    if (kind->builtin_code == RESHAPE) chosen.items[chosen.size++] = plan->items[i];
  }
  return context->replace(context, kernel, (IntArray *)&chosen, delegate);
}

static int take_nothing(Context *context, Delegate *delegate) { return OK; }
static int refuse(Context *context, Delegate *delegate) { return ERROR; }

static Delegate only;

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count,
                                        void (*report)(const char *)) {
  only.prepare = take_reshapes;
  for (size_t i = 0; i < count; i++) {
    if (strcmp(keys[i], "take") != 0) {
      report("unknown option: ");
      report(keys[i]);
      return 0;
    }
    if (strcmp(values[i], "nothing") == 0) only.prepare = take_nothing;
    if (strcmp(values[i], "refuse") == 0) only.prepare = refuse;
  }
  return &only;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) {}
