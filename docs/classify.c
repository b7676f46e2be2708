/* Classifies raw RGB frames from standard input: prints the best class and its probability.

   Python's wheel of LiteRT has the library but no headers, so what is used of litert/c/ is declared
   here, as of LiteRT 2.3. With the headers of its C++ SDK, include those instead. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct LiteRtEnvironmentT *LiteRtEnvironment;
typedef struct LiteRtModelT *LiteRtModel;
typedef struct LiteRtOptionsT *LiteRtOptions;
typedef struct LiteRtCompiledModelT *LiteRtCompiledModel;
typedef struct LiteRtSignatureT *LiteRtSignature;
typedef struct LiteRtTensorT *LiteRtTensor;
typedef struct LiteRtTensorBufferT *LiteRtTensorBuffer;
typedef struct LiteRtTensorBufferRequirementsT *LiteRtTensorBufferRequirements;
typedef struct {
    int element_type;
    unsigned rank : 7, has_strides : 1;
    int32_t dimensions[8];
    uint32_t strides[8];
} LiteRtRankedTensorType;
enum { kLiteRtElementTypeFloat32 = 1, kLiteRtElementTypeUInt8 = 3 };
enum { kLiteRtHwAcceleratorCpu = 1 };
enum { kLiteRtTensorBufferLockModeRead = 0, kLiteRtTensorBufferLockModeWrite = 1 };

int LiteRtCreateEnvironment(int, const void *, LiteRtEnvironment *);
int LiteRtCreateModelFromFile(LiteRtEnvironment, const char *, LiteRtModel *);
int LiteRtCreateOptions(LiteRtOptions *);
int LiteRtSetOptionsHardwareAccelerators(LiteRtOptions, int);
int LiteRtCreateCompiledModel(LiteRtEnvironment, LiteRtModel, LiteRtOptions, LiteRtCompiledModel *);
int LiteRtGetModelSignature(LiteRtModel, size_t, LiteRtSignature *);
int LiteRtGetSignatureInputTensorByIndex(LiteRtSignature, size_t, LiteRtTensor *);
int LiteRtGetSignatureOutputTensorByIndex(LiteRtSignature, size_t, LiteRtTensor *);
int LiteRtGetRankedTensorType(LiteRtTensor, LiteRtRankedTensorType *);
int LiteRtGetCompiledModelInputBufferRequirements(LiteRtCompiledModel, size_t, size_t,
                                                  LiteRtTensorBufferRequirements *);
int LiteRtGetCompiledModelOutputBufferRequirements(LiteRtCompiledModel, size_t, size_t,
                                                   LiteRtTensorBufferRequirements *);
int LiteRtCreateManagedTensorBufferFromRequirements(LiteRtEnvironment,
                                                    const LiteRtRankedTensorType *,
                                                    LiteRtTensorBufferRequirements,
                                                    LiteRtTensorBuffer *);
int LiteRtRunCompiledModel(LiteRtCompiledModel, size_t, size_t, LiteRtTensorBuffer *, size_t,
                           LiteRtTensorBuffer *);
int LiteRtLockTensorBuffer(LiteRtTensorBuffer, void **, int);
int LiteRtUnlockTensorBuffer(LiteRtTensorBuffer);

static void check(int status, const char *what) {
    if (status) {
        fprintf(stderr, "classify: cannot %s (LiteRtStatus %d)\n", what, status);
        exit(2);
    }
}

static size_t elements(LiteRtRankedTensorType type) {
    size_t count = 1;
    for (unsigned i = 0; i < type.rank; i++) count *= type.dimensions[i];
    return count;
}

/* Recipe int8 gives probabilities as bytes, in steps of 1/256. */
static float score(const void *scores, int element_type, size_t i) {
    if (element_type == kLiteRtElementTypeUInt8) return ((const uint8_t *)scores)[i] / 256.0f;
    return ((const float *)scores)[i];
}

int main(int argc, char **argv) {
    LiteRtEnvironment env;
    LiteRtModel model;
    LiteRtOptions options;
    LiteRtCompiledModel compiled;
    LiteRtSignature signature;
    LiteRtTensor tensor;
    LiteRtRankedTensorType image, scores;
    LiteRtTensorBufferRequirements needs;
    LiteRtTensorBuffer input, output;
    void *memory;

    if (argc != 2) return fprintf(stderr, "usage: classify MODEL < FRAMES\n"), 2;
    check(LiteRtCreateEnvironment(0, NULL, &env), "start LiteRT");
    check(LiteRtCreateModelFromFile(env, argv[1], &model), "read the model");
    check(LiteRtCreateOptions(&options), "make options");
    check(LiteRtSetOptionsHardwareAccelerators(options, kLiteRtHwAcceleratorCpu), "choose the CPU");
    check(LiteRtCreateCompiledModel(env, model, options, &compiled), "compile the model");

    check(LiteRtGetModelSignature(model, 0, &signature), "find the signature");
    check(LiteRtGetSignatureInputTensorByIndex(signature, 0, &tensor), "find the input");
    check(LiteRtGetRankedTensorType(tensor, &image), "read the input's type");
    check(LiteRtGetSignatureOutputTensorByIndex(signature, 0, &tensor), "find the output");
    check(LiteRtGetRankedTensorType(tensor, &scores), "read the output's type");
    int type = scores.element_type;
    if (image.element_type != kLiteRtElementTypeUInt8 ||
        (type != kLiteRtElementTypeFloat32 && type != kLiteRtElementTypeUInt8))
        return fputs("classify: export with --inputs pixels --outputs probabilities\n", stderr), 2;

    check(LiteRtGetCompiledModelInputBufferRequirements(compiled, 0, 0, &needs), "size the input");
    check(LiteRtCreateManagedTensorBufferFromRequirements(env, &image, needs, &input),
          "allocate the input");
    check(LiteRtGetCompiledModelOutputBufferRequirements(compiled, 0, 0, &needs),
          "size the output");
    check(LiteRtCreateManagedTensorBufferFromRequirements(env, &scores, needs, &output),
          "allocate the output");

    size_t bytes = elements(image), classes = elements(scores);
    uint8_t *frame = (uint8_t *)malloc(bytes);
    while (fread(frame, 1, bytes, stdin) == bytes) {
        check(LiteRtLockTensorBuffer(input, &memory, kLiteRtTensorBufferLockModeWrite),
              "lock the input");
        memcpy(memory, frame, bytes);
        check(LiteRtUnlockTensorBuffer(input), "unlock the input");
        check(LiteRtRunCompiledModel(compiled, 0, 1, &input, 1, &output), "run the model");
        check(LiteRtLockTensorBuffer(output, &memory, kLiteRtTensorBufferLockModeRead),
              "lock the output");
        size_t best = 0;
        for (size_t i = 1; i < classes; i++)
            if (score(memory, type, i) > score(memory, type, best)) best = i;
        printf("%zu %.6f\n", best, score(memory, type, best));
        fflush(stdout);
        check(LiteRtUnlockTensorBuffer(output), "unlock the output");
    }
    return 0;
}
