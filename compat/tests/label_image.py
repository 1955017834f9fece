"""An image classifier as people wrote them for tflite_runtime: the tests run it as it is."""

import argparse
import time

import numpy as np
import tflite_runtime.interpreter as tflite
from PIL import Image


def load_labels(filename):
    with open(filename) as f:
        return [line.strip() for line in f]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-i", "--image", required=True)
    parser.add_argument("-m", "--model_file", required=True)
    parser.add_argument("-l", "--label_file", required=True)
    parser.add_argument("--input_mean", default=127.5, type=float)
    parser.add_argument("--input_std", default=127.5, type=float)
    parser.add_argument("--num_threads", default=None, type=int)
    parser.add_argument("-e", "--ext_delegate")
    parser.add_argument("-o", "--ext_delegate_options")
    args = parser.parse_args()

    delegates = None
    if args.ext_delegate is not None:
        options = {}
        for pair in (args.ext_delegate_options or "").split(";"):
            key, _, value = pair.partition(":")
            if key.strip():
                options[key.strip()] = value.strip()
        try:
            delegates = [tflite.load_delegate(args.ext_delegate, options)]
        except ValueError as e:
            print("no delegate:", e)

    interpreter = tflite.Interpreter(
        model_path=args.model_file, experimental_delegates=delegates, num_threads=args.num_threads
    )
    interpreter.allocate_tensors()
    input_details = interpreter.get_input_details()
    output_details = interpreter.get_output_details()
    floating_model = input_details[0]["dtype"] == np.float32

    height, width = input_details[0]["shape"][1:3]
    img = Image.open(args.image).convert("RGB").resize((width, height))
    input_data = np.expand_dims(img, axis=0)
    if floating_model:
        input_data = (np.float32(input_data) - args.input_mean) / args.input_std

    interpreter.set_tensor(input_details[0]["index"], input_data)
    start_time = time.time()
    interpreter.invoke()
    stop_time = time.time()

    results = np.squeeze(interpreter.get_tensor(output_details[0]["index"]))
    labels = load_labels(args.label_file)
    for i in results.argsort()[-5:][::-1]:
        score = float(results[i]) if floating_model else float(results[i] / 255.0)
        print(f"{score:08.6f}: {labels[i]}")
    print(f"time: {(stop_time - start_time) * 1000:.3f}ms")
