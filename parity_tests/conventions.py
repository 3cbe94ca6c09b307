"""What the numbers of a trajectory mean, as its index.json says."""

# What the numbers mean, for a reader who has the folder and nothing else.
CONVENTIONS = {
    "config": "the fields of the recipe, and sample_shape, the shape of one "
    "example; m is batch_size, n is noise_size. data, seed, noise, "
    "initializer, scales and biases say where the recorded numbers came from: "
    "a replay does not need them",
    "order": "by config's updates. alternating: one iteration is k steps of "
    "D, then one step of G. Step i of D: "
    "fake = G(z[i]), no gradient; real_logits = D(x[i], real_masks[i]); "
    "fake_logits = D(fake, fake_masks[i]); one step of D's optimizer. Step of "
    "G: fake_logits = D(G(z), masks); one step of G's optimizer. Every call "
    "is in training mode, so each moves the running statistics of its "
    "network. simultaneous: x, z and masks have no axis of k, and G has no "
    "batch of its own: fake = G(z); real_logits = D(x, real_masks); "
    "fake_logits = D(fake, fake_masks), each once; the gradients of D's and of "
    "G's loss, both at the old weights; then one step of each optimizer",
    "discriminator loss": "by config's loss. saturating and non-saturating: "
    "-mean log sigmoid(real_logits) - mean log sigmoid(-fake_logits), half of "
    "it where updates is simultaneous; hinge: mean relu(1 - real_logits) + "
    "mean relu(1 + fake_logits); least-squares: mean (real_logits - 1)^2 / 2 + "
    "mean fake_logits^2 / 2",
    "generator loss": "saturating: mean log sigmoid(-fake_logits); "
    "non-saturating: -mean log sigmoid(fake_logits); hinge: -mean "
    "fake_logits; least-squares: mean (fake_logits - 1)^2 / 2",
    "metrics": "discriminator_loss; real_probability, the mean of "
    "probability(real_logits); fake_probability, the mean of "
    "probability(fake_logits); all of the last of the k steps, before its "
    "update; generator_loss, before its update. probability(a): sigmoid(a); "
    "hinge: 1 where a > 0, else 0; least-squares: a",
    "network mlp": "G: relu(hidden_i(h)) for each layer from z, then "
    "output_function(output(h)), reshaped to sample_shape; "
    "D: h = x, flat, times its mask input; h = leaky_relu(hidden_i(h)) times "
    "its mask hidden_i, for each layer; logit = output(h)",
    "network maxout": "G: that of mlp; D: that of mlp with maxout(hidden_i(h)) "
    "in place of leaky_relu. maxout: unit u is the largest of h[pieces u] to "
    "h[pieces u + pieces - 1]; pieces that tie for the largest share its "
    "gradient equally",
    "network dcgan": "G: relu(norm_0(project(z) as [m, s, s, c])), with "
    "c = generator_hidden[0] and s = height / 2^len(generator_hidden); "
    "for i = 0, 1, ...: relu(norm_(i + 1)(upsample_i(h))), then "
    "output_function(output(h)), where upsample_i and output are transposed "
    "convolutions; D: leaky_relu(input(x)), for i: "
    "leaky_relu(norm_i(downsample_i(h))), then h is flat, for each of config's "
    "discriminator_dense (none where it is missing): leaky_relu(dense_i(h)), "
    "logit = output(h), where input and downsample_i are convolutions; "
    "project, upsample_i and downsample_i have no bias, since a batch norm "
    "follows; input, dense_i and both outputs have one",
    "output_function": "config's output: sigmoid, tanh, or linear (none)",
    "leaky_relu": "h where h > 0, else slope h; its derivative at 0 is slope. "
    "The derivative of relu at 0 is 0",
    "masks": "0 or 1/keep: multiply, nothing else. No mask, no dropout",
    "images": "[m, height, width, channels]; flat is row-major in this order",
    "dense": "h kernel + bias; kernel is [in, out]",
    "convolution": "cross-correlation, kernel 4, stride 2, padding 1: "
    "y[p] = bias + sum over taps a of x[2p + a - 1] kernel[a]; kernel is "
    "[height, width, in, out]",
    "transposed convolution": "y[2p + a - 1] += x[p] kernel[a] for each tap "
    "a, plus bias: the gradient of a convolution with regard to its input; "
    "kernel is [height, width, out, in]",
    "batch norm": "over all axes but the last: scale (h - mean) / sqrt(var + "
    "1e-5) + bias, with mean and biased var (divided by N) of this batch; "
    "then running mean += 0.1 (mean - running mean), running var += 0.1 "
    "(var N / (N - 1) - running var)",
    "adam": "m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, p = p - rate "
    "(m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + 1e-8), t counts from 1; "
    "1 - b^t is computed as -expm1(t log b), and is 1 where b is 0: in "
    "float32 the difference would lose five digits at b = .999",
    "sgd": "momentum = config's momentum times momentum + g, p = p - rate "
    "momentum; with momentum 0 it keeps none: p = p - rate g",
    "classical-momentum": "velocity = mu velocity - rate g, p = p + velocity; "
    "mu = momentum + (final_momentum - momentum) min(t // epoch_steps, r) / r, "
    "r = saturation_epoch - 1",
    "rate": "max(learning_rate decay^t, min_learning_rate) for D, the same "
    "with generator_learning_rate (learning_rate where it is null) for G. t = "
    "n // k for D, n for G, with integer division; n counts this player's "
    "steps from 0",
    "state": "player/params/layer/kernel, bias or scale; "
    "player/statistics/layer/mean or var; player/optimizer/m, v, "
    "momentum or velocity/layer/...; player/optimizer/step, the steps taken, "
    "int32; player is generator or discriminator",
    "gradients": "player/layer/...: what the optimizer was last given in this "
    "iteration (for D, in the last of its k steps)",
    "files": "six digits and .safetensors for each iteration; tensors are "
    "named by the same six digits",
}
