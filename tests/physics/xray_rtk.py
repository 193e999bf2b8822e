"""Run in the peers' environment: RTK's Joseph projection of every npz file named, each into one beside it.

    python xray_rtk.py THREADS REPEATS problem.npz ...

RTK (itk-rtk, Apache 2.0) takes x, y, z; here vectors are k, j, i. ``problem.answer.npz`` holds the image and the least
seconds (by the clock and of all processors) of the projection alone, without reading files and building the geometry.
"""

import sys
import time

import itk
import numpy as np
from itk import RTK as rtk

threads, repeats = int(sys.argv[1]), int(sys.argv[2])
itk.MultiThreaderBase.SetGlobalMaximumNumberOfThreads(threads)
itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(threads)
Image = itk.Image[itk.F, 3]

for problem in sys.argv[3:]:
    given = np.load(problem)
    array = given["volume"]
    volume = itk.image_view_from_array(array)
    volume.SetSpacing([float(h) for h in given["spacing_mm"][::-1]])
    source, corner, down, right = (
        [float(x) for x in given[name][::-1]] for name in ("source", "corner", "down", "right")
    )
    height, width = np.linalg.norm(down), np.linalg.norm(right)
    geometry = rtk.ThreeDCircularProjectionGeometry.New()
    assert geometry.AddProjection(source, corner, [x / width for x in right], [x / height for x in down])

    stack = rtk.ConstantImageSource[Image].New()
    stack.SetOrigin([0.0, 0.0, 0.0])
    stack.SetSpacing([float(width), float(height), 1.0])
    stack.SetSize([int(given["shape"][1]), int(given["shape"][0]), 1])
    stack.SetConstant(0.0)
    stack.Update()

    seconds, processor = [], []
    for _ in range(repeats):
        project = rtk.JosephForwardProjectionImageFilter[Image, Image].New()
        project.SetGeometry(geometry)
        project.SetInput(0, stack.GetOutput())
        project.SetInput(1, volume)
        project.SetNumberOfWorkUnits(threads)
        began, worked = time.perf_counter(), time.process_time()
        project.Update()
        seconds.append(time.perf_counter() - began)
        processor.append(time.process_time() - worked)
    np.savez(
        f"{problem}.answer.npz",
        image=itk.array_from_image(project.GetOutput())[0],
        seconds=min(seconds),
        cpu_s=min(processor),
    )
