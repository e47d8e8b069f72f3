"""What does curvature tell? The Hessian of a small network, by gradients of gradients.

A 1-2-1 network with tanh, 7 weights and an L2 penalty is fitted to 40 points of a sine. A row of the Hessian is the gradient of an entry
of the gradient. The script compares it with one that needs no rules: the complex step of the same loss in plain NumPy gives exact
slopes, and their differences give the Hessian to eight digits.

1.  How fast is gradient descent? A step of size lr multiplies the distance to the minimum by 1 - lr h along a direction of curvature
    h. So the largest h says which lr is too large, lr > 2 / h, and the smallest one how many steps it takes.
2.  A Newton step divides by the curvature instead: near the minimum the number of right digits doubles. But it goes to any point without
    slope. From an early point of the descent, where a curvature is negative, it ends at a saddle above that point.
3.  The loss along the directions of largest and smallest curvature, as it is and as the Hessian says.

    python examples/hessian.py [--steps 1000] [--quick] [--out out]      (2 CPU seconds)
"""

import study  # before NumPy, which it keeps to one thread

# isort: split
import numpy as np

import minigrad as mg
import minigrad.functional as F

UNITS, DECAY, LR = 2, 1e-2, 0.1
X = np.linspace(-2, 2, 40)[:, None]
Y = np.sin(2 * X) + 0.1 * np.random.default_rng(0).standard_normal(X.shape)


def network(w, x):
    """w: one vector with a weight and a bias for each hidden unit, a weight for its output, and a last bias."""
    a, b, c, d = w[:UNITS], w[UNITS : 2 * UNITS], w[2 * UNITS : 3 * UNITS], w[3 * UNITS]
    return np.tanh(x * a + b) @ c[:, None] + d


def loss(w):
    return F.mse_loss(network(w, X), Y) + F.l2_penalty(w, c=DECAY)


def in_numpy(w):
    """The same loss without minigrad, of complex numbers too."""
    return np.mean((network(w, X) - Y) ** 2) + DECAY * np.sum(w * w)


def derivatives(w):
    """(loss, gradient, Hessian) at the array w."""
    w = mg.Tensor(w, requires_grad=True, name="w")
    value = loss(w)
    (g,) = mg.grad(value, [w], create_graph=True)
    rows = [mg.grad(entry, [w], retain_graph=True)[0].numpy() for entry in g]
    return value.item(), g.numpy(), np.array(rows)


def hessian_without_rules(w, far=1e-4, h=2.0**-100):
    """Central differences of complex steps."""

    def gradient(w):
        return np.array([in_numpy(w + 1j * h * e).imag / h for e in np.eye(len(w))])

    return (
        np.array([gradient(w + far * e) - gradient(w - far * e) for e in np.eye(len(w))]) / far / 2
    )


def descent(w, lr, steps):
    """The points of gradient descent, the first of which is w."""
    points = [w]
    for _ in range(steps):
        w = mg.Tensor(points[-1], requires_grad=True)
        loss(w).backward()
        points.append(w.data - lr * w.grad.numpy())
    return np.array(points)


def newton(w, steps):
    """The points of Newton's method."""
    points = [w]
    for _ in range(steps):
        _, g, hessian = derivatives(points[-1])
        points.append(points[-1] - np.linalg.solve(hessian, g))
    return np.array(points)


def slope(w):
    return np.linalg.norm(derivatives(w)[1])


def told(points):
    """Prints loss, slope and least curvature at each point."""
    for step, w in enumerate(points):
        value, g, hessian = derivatives(w)
        least = np.linalg.eigvalsh(hessian)[0]
        print(f"{step:4}  {value:.6f}  {np.linalg.norm(g):8.0e}  {least:+.3f}")


def plot(minimum, curvatures, directions, file):
    """Left: the loss around its minimum, with the ways of both methods. Right: their slopes."""
    picture, (left, right) = study.figure(12, 4.8, 1.2, 1)
    plane = directions[:, [0, -1]]  # the smallest and the largest curvature
    start = minimum + plane @ [0.5, -0.08]
    ways = {
        "gradient descent, lr = 1.4 / largest h": descent(start, 1.4 / curvatures[-1], 100),
        "Newton": newton(start, 6),
    }
    w = mg.Tensor(minimum, requires_grad=True)
    recorded, least = loss(w), in_numpy(minimum)
    a, b = np.meshgrid(np.linspace(-0.7, 0.7, 57), np.linspace(-0.12, 0.12, 57))
    points = minimum + np.stack([a, b], axis=-1) @ plane.T
    values = [[mg.replay(recorded, {w: point}).item() for point in row] for row in points]
    levels = least + np.linspace(0.02, 0.3, 8) ** 2
    left.contourf(a, b, values, levels, cmap="Blues", extend="both")
    parabola = least + (curvatures[0] * a**2 + curvatures[-1] * b**2) / 2
    left.contour(a, b, parabola, levels, colors="#999999", linewidths=0.8, linestyles=":")
    for (name, way), (colour, _, marker) in zip(ways.items(), study.LOOKS[1::2]):
        left.plot(*((way - minimum) @ plane).T, color=colour, marker=marker, markersize=4)
        slopes = [slope(w) for w in way]
        right.semilogy(slopes, color=colour, marker=marker, markersize=4, label=name)
    left.set(xlabel="along the smallest curvature", ylabel="along the largest curvature")
    left.set(title="The loss; dotted: as its Hessian says", xlim=(-0.7, 0.7), ylim=(-0.12, 0.12))
    right.set(xlabel="step", title="The length of the gradient")
    right.legend(frameon=False)
    study.save(picture, file)


def main():
    options = study.parser(
        __doc__, least=1000, steps=(1000, 1000, "steps of gradient descent")
    ).parse_args()
    start = np.random.default_rng(0).standard_normal(3 * UNITS + 1)
    _, _, hessian = derivatives(start)
    apart = np.abs(hessian - hessian_without_rules(start)).max() / np.abs(hessian).max()
    print(
        f"the Hessian differs from differences of complex steps by {apart:.0e} of its largest entry"
    )

    path = descent(start, LR, options.steps)
    minimum = newton(path[-1], 8)[-1]
    curvatures, directions = np.linalg.eigh(derivatives(minimum)[2])
    print("\ncurvatures at the minimum:", *(f"{h:.3f}" for h in curvatures))
    distances = np.linalg.norm(path - minimum, axis=1)
    measured, expected = distances[-1] / distances[-2], 1 - LR * curvatures[0]
    print(
        f"a late step of descent leaves {measured:.5f} of the distance; 1 - lr h is {expected:.5f}"
    )
    near = minimum + 1e-3 * directions[:, -1]
    for factor in (1.9, 2.1):
        end = np.linalg.norm(descent(near, factor / curvatures[-1], 20)[-1] - minimum)
        print(f"lr = {factor} / largest h: after 20 steps {end / 1e-3:.2f} of the distance is left")

    print(
        f"\nstep  loss      |gradient|  least curvature\nNewton from step {options.steps} of descent"
    )
    told(newton(path[-1], 4))
    print("Newton from step 100 of descent")
    told(newton(path[100], 8))
    plot(minimum, curvatures, directions, options.out / "hessian.png")


if __name__ == "__main__":
    main()
