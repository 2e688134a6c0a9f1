import torch

from mecam.models.lnln import reverse_gradient


def test_the_gradient_turns_round() -> None:
    values = torch.tensor([1.0, 2.0], requires_grad=True)
    result = reverse_gradient(values)
    assert torch.equal(result, values)
    (result * torch.tensor([3.0, 5.0])).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [-3, -5]
