"""A page of ordinary PyTorch, which runs in minigrad with other imports, and what PyTorch prints."""

PAGE = """
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.nn.utils import clip_grad_norm_

x = torch.sin(torch.arange(96.0)).view(16, 2, 3)
labels = (x.view(16, -1).sum(dim=1) > 0).long()


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, width), nn.Linear(width, width)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(width, 2))

    def forward(self, x):
        x = x.flatten(1)
        for layer in self.layers:
            x = torch.tanh(layer(x))
        x = torch.cat([x[:, :4], x[:, 4:].clamp(min=-0.5)], dim=-1)
        return self.head(self.norm(x))


net = Net(8)
with torch.no_grad():
    for n, p in enumerate(net.parameters()):
        p.copy_(torch.cos(torch.arange(p.numel()) + n).view(p.shape) / 2)
criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]), label_smoothing=0.05)
optimizer = optim.RMSprop(net.parameters(), lr=0.01, momentum=0.5)
scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=4, gamma=0.5)
losses = []
for epoch in range(10):
    net.train()
    for i in range(0, 16, 8):
        optimizer.zero_grad()
        loss = criterion(net(x[i : i + 8]), labels[i : i + 8])
        loss.backward()
        clip_grad_norm_(net.parameters(), max_norm=1.0)
        optimizer.step()
        losses.append(loss.item())
    scheduler.step()

twin = Net(8)
twin.load_state_dict(net.state_dict())
twin.eval()
with torch.no_grad():
    values, predicted = torch.max(F.softmax(twin(x), dim=-1), dim=1)
    accuracy = (predicted == labels).float().mean().item()
    spread = values.std(dim=0, correction=1).item()
print(*losses, accuracy, spread, *scheduler.get_last_lr(), *values.tolist())
"""
IMPORTS = """
import minigrad as torch
import minigrad.functional as F
from minigrad import nn, optim
from minigrad.optim import clip_grad_norm_
"""
HERE = IMPORTS + PAGE.split("clip_grad_norm_\n", 1)[1]
PYTORCHS = [1.2676259, 0.5726555, 0.50910944, 0.47018442, 0.11132556, 0.82108134, 0.066413343, 0.31223568, 0.064780213, 0.31150061, 0.054471064, 0.22752367, 0.050340753, 0.21525498, 0.049422067, 0.21144897, 0.049200244, 0.2091267, 0.04916697, 0.2079442, 1.0, 0.039837934, 0.0025, 0.98545814, 0.98606724, 0.986579, 0.98719668, 0.98847276, 0.99148679, 0.9957782, 0.99620736, 0.97463793, 0.90877593, 0.90752989, 0.91135818, 0.91316235, 0.9133274, 0.91237772, 0.90926087]  # fmt: skip
